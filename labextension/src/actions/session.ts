import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { IContextQuestion } from '../ai/context/wire';
import type { IAiModel } from '../ai/tokens';
import { AidpError, asAidpError } from '../shared/request';
import type { ActionsApi } from './api';
import type { Undo } from './files';
import { apply, withLineEndsOf } from './hunks';
import type { Differ, IPart } from './review';
import { Review } from './review';
import type { IInsertion, IReplacement, ISite } from './site';
import { TestRun } from './tests';
import type { Offer } from './tokens';
import type { IChange, IContextChosen, IDone, IProposal } from './wire';
import { whereOf } from './wording';

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

/** Files of the workspace, as far as proposals are about them. */
export interface IFiles {
  /** The text as it is now, in its editor where it is open; null where there is none. */
  read(path: string): Promise<string | null>;
  /** Write a file. Returns what takes that back; null where the user would not have a file replaced. */
  write(
    path: string,
    text: string,
    before: string | null
  ): Promise<Undo | null>;
  /** Save a file where it is open and changed. */
  save(path: string): Promise<void>;
  /** Say what was written, and offer to take it back. */
  offerUndo(message: string, undo: Undo): void;
}

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
    return this._review;
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
  draft = '';

  async ask(instruction: string): Promise<void> {
    const { action, api, cell, model, question, site, trans } = this.options;
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
          path_for_new_file: isModule ? instruction : ''
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
    this._review?.move(by);
    this._changed.emit();
  }

  /** Look at the place at a line of the text that is shown, if there is one. */
  pick(line: number): void {
    if (this._review?.pick(line)) {
      this._changed.emit();
    }
  }

  async decide(
    verdict: 'accepted' | 'rejected',
    what: 'place' | 'rest' = 'place',
    run = false
  ): Promise<void> {
    const review = this._review;
    if (!review || this._phase !== 'reviewing') {
      return;
    }
    if (what === 'rest') {
      review.decideRest(verdict);
    } else if (review.hunk.verdict === 'open') {
      review.decide(verdict);
    }
    if (review.open > 0) {
      this._changed.emit();
    } else if (review.accepted > 0) {
      await this._write(review, run);
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
    const { files, site, trans } = this.options;
    const proposal = this._proposal;
    if (!proposal) {
      this._phase = 'answered';
      this._changed.emit();
      return;
    }
    const changes: IChange[] = [];
    for (const change of proposal.changes) {
      const { kind, path } = change;
      if (
        kind === 'create_file' ||
        (kind === 'replace' && path !== site.path)
      ) {
        const original = await files.read(path);
        this._existing.set(path, original);
        changes.push(about(original ?? '', { ...change, kind: 'create_file' }));
      } else {
        const now = kind === 'replace' ? site.source(change.cell) : null;
        const isSame = now !== null && plain(now) === plain(change.original);
        changes.push(isSame ? about(now, change) : change);
      }
    }
    signal.throwIfAborted();
    const review = new Review(changes, differ);
    if (review.parts.length === 0) {
      throw new AidpError(
        'no_change',
        trans.__('The model would change nothing.'),
        0,
        { next_step: trans.__('Ask in other words, or try another model.') }
      );
    }
    this._review = review;
    this._phase = 'reviewing';
    const cells = review.parts.map(({ change }) => change.cell);
    this._watching = site.watch(cells, () => this._follow());
    this._follow();
    this._changed.emit();
  }

  /** What the proposal is about has changed, or may have: the proposal follows, or is void. */
  private _follow(): void {
    const { site } = this.options;
    const review = this._review;
    if (!review || this._phase !== 'reviewing') {
      return;
    }
    for (const part of review.parts) {
      const { kind, cell } = part.change;
      if (kind === 'create_file') {
        continue;
      }
      const source = cell === '' && kind !== 'replace' ? '' : site.source(cell);
      if (source === null) {
        this._fail(this._gone());
        return;
      }
      if (kind !== 'replace' || source === part.original) {
        continue;
      }
      if (!review.follow(part, source)) {
        this._fail(this._stale());
        return;
      }
      this._changed.emit();
    }
  }

  private async _write(review: Review, run: boolean): Promise<void> {
    const { files, site, trans } = this.options;
    this._phase = 'writing';
    this._watching?.dispose();
    this._changed.emit();
    try {
      this._plan(review);
      const labels = review.parts
        .filter(part => review.verdict(part).length > 0)
        .map(part => whereOf(part, site, trans));
      const written = await this._writeFiles(review);
      // A question about a file may have taken a while.
      const { replacements, insertions } = this._plan(review);
      const { cells, undo } = site.write(replacements, insertions);
      this._report('accepted');
      // One text has its own undo.
      if (written.size + insertions.length > 0 || replacements.length > 1) {
        const undone = [...written.values(), undo];
        files.offerUndo(
          trans.__('Accepted: %1', labels.join(', ')),
          async () => {
            // All that can be, whatever has become of the rest.
            const all = await Promise.all(undone.map(undo => undo()));
            return all.every(Boolean);
          }
        );
      }
      if (this._proposal?.run && written.has(this._proposal.run.path)) {
        this._phase = 'applied';
        this._changed.emit();
      } else {
        this._finished.emit({ isWritten: true });
      }
      if (run && cells.length > 0) {
        await site.run(cells);
      }
    } catch (error) {
      this._fail(asAidpError(error));
    }
  }

  /** What becomes of the open document. Throws unless all of it can be done. */
  private _plan(review: Review): {
    readonly replacements: readonly IReplacement[];
    readonly insertions: readonly IInsertion[];
  } {
    const { site } = this.options;
    const replacements: IReplacement[] = [];
    const insertions: IInsertion[] = [];
    for (const part of review.parts) {
      const { change, original } = part;
      const { cell, kind } = change;
      const hunks = review.verdict(part);
      if (hunks.length === 0 || kind === 'create_file') {
        continue;
      }
      if (!site.canWrite(cell)) {
        throw this._readOnly();
      }
      if (kind === 'replace') {
        if (site.source(cell) !== original) {
          throw this._stale();
        }
        replacements.push({ cell, hunks });
      } else {
        const type = change.cell_type;
        const source = apply('', hunks);
        insertions.push({ cell, where: kind, type, source });
      }
    }
    return { replacements, insertions };
  }

  /** Returns what takes each file back, by its path. */
  private async _writeFiles(review: Review): Promise<Map<string, Undo>> {
    const { files } = this.options;
    const written = new Map<string, Undo>();
    for (const part of review.parts) {
      const { kind, path } = part.change;
      const hunks = review.verdict(part);
      if (kind !== 'create_file' || hunks.length === 0) {
        continue;
      }
      const before = await files.read(path);
      if (before !== this._existing.get(path)) {
        throw this._staleFile(part);
      }
      const text = apply(part.original, hunks);
      const undo = await files.write(path, text, before);
      if (undo) {
        written.set(path, undo);
      }
    }
    return written;
  }

  private _fail(error: AidpError): void {
    this._watching?.dispose();
    this._error = error;
    this._review = null;
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
    this._context = this._proposal = this._review = null;
    this._done = this._error = this._endedAt = null;
    this._text = this._code = '';
    this._isStopped = false;
    this._existing.clear();
  }

  private _stale(): AidpError {
    const { trans } = this.options;
    return new AidpError(
      'changed_since',
      trans.__('The text has changed since, where the proposal is about it.'),
      0,
      { next_step: trans.__('Try again: it is asked with the new text.') }
    );
  }

  private _staleFile({ change }: IPart): AidpError {
    const { trans } = this.options;
    return new AidpError(
      'changed_since',
      trans.__('`%1` has changed since.', change.path),
      0,
      { next_step: trans.__('Try again: it is asked with the new text.') }
    );
  }

  private _gone(): AidpError {
    const { trans } = this.options;
    return new AidpError(
      'gone',
      trans.__('A cell that the proposal is about is gone.')
    );
  }

  private _readOnly(): AidpError {
    const { trans } = this.options;
    return new AidpError(
      'read_only',
      trans.__('The text cannot be changed: it is read-only.')
    );
  }

  private _abort: AbortController | null = null;
  private _changed = new Signal<this, void>(this);
  private _code = '';
  private _context: IContextChosen | null = null;
  private _done: IDone | null = null;
  private _endedAt: number | null = null;
  private _error: AidpError | null = null;
  /** What the files of the proposal held when it was shown. */
  private _existing = new Map<string, string | null>();
  private _finished = new Signal<this, { readonly isWritten: boolean }>(this);
  private _instruction = '';
  private _isDisposed = false;
  private _isStopped = false;
  private _phase: Phase;
  private _proposal: IProposal | null = null;
  private _review: Review | null = null;
  private _startedAt = performance.now();
  private _tests: TestRun | null = null;
  private _text = '';
  private _watching: IDisposable | null = null;
}

/** Whether an action begins with a question to the user. */
function needsWords(offer: Offer): boolean {
  return offer === 'edit' || offer === 'module';
}

function plain(text: string): string {
  return withLineEndsOf(text, '');
}

/** A change as one of a text as it is, with the line ends of that. */
function about(original: string, change: IChange): IChange {
  const source = withLineEndsOf(change.source, original);
  return { ...change, original, source };
}
