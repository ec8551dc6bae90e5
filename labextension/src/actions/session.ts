import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { IContextQuestion } from '../ai/context/wire';
import type { IAiModel } from '../ai/tokens';
import type { Privacy } from '../ai/wire';
import { AidpError, asAidpError } from '../shared/request';
import type { ActionsApi } from './api';
import type { IFiles } from './draft';
import { Draft } from './draft';
import type { Differ, Review } from './review';
import type { ISite } from './site';
import { TestRun } from './tests';
import type { Offer } from './tokens';
import type { IContextChosen, IDone, IProposal } from './wire';

/** An answer that is longer does not end: it is stopped. */
export const LONGEST = 400_000;

/** Where an action stands. */
export type Phase =
  | 'instructing' // the user says what is wanted
  | 'asking' // the model answers
  | 'reviewing' // a proposal is read
  | 'writing' // what was accepted is written
  | 'answered' // there are words, and nothing to decide
  | 'applied' // what was accepted is written, and there is more to do
  | 'failed';

export interface ISessionOptions {
  readonly action: Offer;
  readonly site: ISite;
  /** The id of the target. */
  readonly cell: string;
  readonly api: ActionsApi;
  /** In the user's words, or the path of a new module; those two ask for it where there is none. */
  readonly instruction: string;
  readonly model: Pick<IAiModel, 'track'>;
  readonly files: IFiles;
  readonly question: (instruction: string) => IContextQuestion;
  /** What the user wants of all actions; null leaves it to the rules. */
  readonly privacy: () => Privacy | null;
  /** Loads what compares texts; it is not part of what Lab starts with. */
  readonly loadDiffer: () => Promise<Differ>;
  /** Tell the server whether its proposal was of use. */
  readonly report: (route: string, outcome: 'accepted' | 'rejected') => void;
  readonly trans: TranslationBundle;
}

/** One action on one target, from the question until all is decided. What it changes is the user's decision alone. */
export class ActionSession implements IDisposable {
  constructor(readonly options: ISessionOptions) {
    const { action, instruction } = options;
    const isAsked = !needsWords(action) || instruction !== '';
    this._phase = isAsked ? 'asking' : 'instructing';
    if (isAsked) {
      void this.ask(instruction);
    }
  }

  /** Something below changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** There is nothing left to do. */
  get finished(): ISignal<this, { readonly isWritten: boolean }> {
    return this._finished;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  get phase(): Phase {
    return this._phase;
  }

  get context(): IContextChosen | null {
    return this._context;
  }

  /** Prose so far, Markdown. */
  get text(): string {
    return this._text;
  }

  /** What will be proposed, as far as it has come. */
  get code(): string {
    return this._code;
  }

  get proposal(): IProposal | null {
    return this._proposal;
  }

  get review(): Review | null {
    return this._draft?.review ?? null;
  }

  get done(): IDone | null {
    return this._done;
  }

  get error(): AidpError | null {
    return this._error;
  }

  /** The user stopped it. */
  get isStopped(): boolean {
    return this._isStopped;
  }

  /** How long the answer took, or has taken so far, in ms. */
  get tookMs(): number {
    return (this._endedAt ?? performance.now()) - this._startedAt;
  }

  get tests(): TestRun | null {
    return this._tests;
  }

  /** What is asked, or what the user said. */
  get instruction(): string {
    return this._instruction;
  }

  /** What the user has written of an instruction so far. */
  words = '';

  async ask(instruction: string): Promise<void> {
    const { action, api, cell, model, privacy, question, site, trans } =
      this.options;
    this._reset();
    this._instruction = instruction;
    this._phase = 'asking';
    this._startedAt = performance.now();
    const abort = (this._abort = new AbortController());
    const { signal } = abort;
    const call = model.track();
    const isModule = action === 'module';
    const words = isModule ? '' : instruction;
    this._changed.emit();
    try {
      const differ = this.options.loadDiffer();
      // Whoever waits for it below hears of a failure; nobody else needs to.
      differ.catch(() => undefined);
      const { by, events } = await api.ask(
        {
          action: isModule ? 'convert' : action,
          context: question(words),
          selection: site.selection(cell),
          instruction: words,
          path_for_new_file: isModule ? instruction : '',
          privacy: privacy()
        },
        signal
      );
      call.answeredBy(by);
      for await (const event of events) {
        call.arrived();
        switch (event.type) {
          case 'context':
            this._context = event;
            break;
          case 'text':
            this._text += event.text;
            break;
          case 'code':
            this._code += event.text;
            break;
          case 'proposal':
            this._proposal = event;
            break;
          case 'done':
            this._done = event;
            break;
        }
        if (this._text.length + this._code.length > LONGEST) {
          throw new AidpError(
            'endless_answer',
            trans.__('The answer did not end; it was stopped.'),
            0,
            { next_step: trans.__('Try again, or choose another model.') }
          );
        }
        this._changed.emit();
      }
      call.done();
      this._endedAt = performance.now();
      await this._propose(await differ, signal);
    } catch (reason) {
      this._endedAt ??= performance.now();
      if (signal.aborted) {
        call.cancelled();
        return;
      }
      const error = asAidpError(reason);
      call.failed(error);
      this._fail(error);
    } finally {
      // Also where the answer was too long: its connection ends.
      abort.abort();
    }
  }

  /** Stop the answer. What has come of an explanation stays. */
  stop(): void {
    if (this._phase === 'asking') {
      this._isStopped = true;
      this._abort?.abort();
      this._endedAt = performance.now();
      this._phase = 'answered';
      this._changed.emit();
    }
  }

  retry(): void {
    void this.ask(this._instruction);
  }

  /** Look at the next place, or the one before. */
  move(by: number): void {
    this.review?.move(by);
    this._changed.emit();
  }

  /** Look at the place at a line of the text that is shown, if there is one. */
  pick(line: number): void {
    if (this.review?.pick(line)) {
      this._changed.emit();
    }
  }

  async decide(
    verdict: 'accepted' | 'rejected',
    what: 'place' | 'rest' = 'place',
    run = false
  ): Promise<void> {
    const draft = this._draft;
    if (!draft || this._phase !== 'reviewing') {
      return;
    }
    const { review } = draft;
    if (what === 'rest') {
      review.decideRest(verdict);
    } else if (review.hunk.verdict === 'open') {
      review.decide(verdict);
    }
    if (review.open > 0) {
      this._changed.emit();
    } else if (review.accepted > 0) {
      await this._write(draft, run);
    } else {
      this._report('rejected');
      this._finished.emit({ isWritten: false });
    }
  }

  /** Run the tests that were written. */
  runTests(): void {
    const run = this._proposal?.run;
    if (run) {
      const { api, files, site } = this.options;
      this._tests?.dispose();
      // What is run is on the disk: the tests, and the file that they are about.
      this._tests = new TestRun(run.path, api, async () => {
        await files.save(run.path);
        await files.save(site.path);
      });
      this._tests.changed.connect(() => this._changed.emit());
      void this._tests.start();
    }
  }

  close(): void {
    this._finished.emit({ isWritten: this._phase === 'applied' });
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this._reset();
      Signal.clearData(this);
    }
  }

  private async _propose(differ: Differ, signal: AbortSignal): Promise<void> {
    const { site, files, trans } = this.options;
    const proposal = this._proposal;
    if (!proposal) {
      this._phase = 'answered';
      this._changed.emit();
      return;
    }
    const draft = await Draft.of(proposal, { site, files, trans, differ });
    signal.throwIfAborted();
    this._draft = draft;
    this._phase = 'reviewing';
    this._watching = draft.watch(() => this._follow());
    this._follow();
    this._changed.emit();
  }

  /** What the proposal is about has changed, or may have: the proposal follows, or is void. */
  private _follow(): void {
    if (this._draft && this._phase === 'reviewing') {
      try {
        if (this._draft.follow()) {
          this._changed.emit();
        }
      } catch (error) {
        this._fail(asAidpError(error));
      }
    }
  }

  private async _write(draft: Draft, run: boolean): Promise<void> {
    const { action, cell, files, site, trans } = this.options;
    this._phase = 'writing';
    this._watching?.dispose();
    this._changed.emit();
    try {
      const { cells, labels, paths, undo } = await draft.write();
      this._report('accepted');
      if (undo) {
        files.offerUndo(trans.__('Accepted: %1', labels.join(', ')), undo);
      }
      if (this._proposal?.run && paths.includes(this._proposal.run.path)) {
        this._phase = 'applied';
        this._changed.emit();
      } else {
        this._finished.emit({ isWritten: true });
      }
      if (run && cells.length > 0) {
        // What failed is run again wherever the cause was, after all that was mended for it.
        const others = cells.filter(one => one !== cell);
        await site.run(action === 'fix' ? [...others, cell] : cells);
      }
    } catch (error) {
      this._fail(asAidpError(error));
    }
  }

  private _fail(error: AidpError): void {
    this._watching?.dispose();
    this._error = error;
    this._draft = null;
    this._phase = 'failed';
    this._changed.emit();
  }

  private _report(outcome: 'accepted' | 'rejected'): void {
    if (this._done) {
      this.options.report(this._done.route, outcome);
    }
  }

  private _reset(): void {
    this._abort?.abort();
    this._watching?.dispose();
    this._tests?.dispose();
    this._abort = this._watching = this._tests = null;
    this._context = this._proposal = this._draft = null;
    this._done = this._error = this._endedAt = null;
    this._text = this._code = '';
    this._isStopped = false;
  }

  private _abort: AbortController | null = null;
  private _changed = new Signal<this, void>(this);
  private _code = '';
  private _context: IContextChosen | null = null;
  private _done: IDone | null = null;
  private _draft: Draft | null = null;
  private _endedAt: number | null = null;
  private _error: AidpError | null = null;
  private _finished = new Signal<this, { readonly isWritten: boolean }>(this);
  private _instruction = '';
  private _isDisposed = false;
  private _isStopped = false;
  private _phase: Phase;
  private _proposal: IProposal | null = null;
  private _startedAt = performance.now();
  private _tests: TestRun | null = null;
  private _text = '';
  private _watching: IDisposable | null = null;
}

/** Whether an action begins with a question to the user. */
function needsWords(offer: Offer): boolean {
  return offer === 'edit' || offer === 'module';
}
