import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from '../shared/request';
import { asAidpError } from '../shared/request';
import { Resource } from '../shared/resource';
import type { GitApi } from './api';
import type { IKept } from './draft';
import type { IPlan } from './plan';
import { planOf } from './plan';
import { Draft } from './draft';
import { Preflight } from './preflight';
import { Shipping } from './shipping';
import type {
  IFinding,
  IShipJob,
  IOpenRequest,
  IRepositoryState,
  IRequestState,
  IRuns,
  ISuggestions,
  Integration
} from './wire';

/** What is done by default; the user's settings. */
export interface IShipOptions {
  /** Null: as the server does. */
  how: Integration | null;
  opensRequest: boolean;
  isDraft: boolean;
}

export interface IRepositoryOptions {
  readonly api: GitApi;
  readonly options: IShipOptions;
  readonly kept?: IKept;
  /** Called after each thing that was done to it; with false where its state is not known since then. */
  readonly acted?: (isFresh: boolean) => void;
}

/** One repository: its state as the server told it last, and what is being done with it. */
export class Repository implements IDisposable {
  constructor(
    state: IRepositoryState,
    private _given: IRepositoryOptions
  ) {
    const { api, kept } = _given;
    const { path } = state;
    this._state = state;
    this.preflight = new Preflight(
      api,
      path,
      () => `${this._choices} ${index(this._state)}`
    );
    this.shipping = new Shipping(api, path);
    this.draft = new Draft(api, path, kept);
    this.request = new Resource(signal => api.request(path, signal));
    this.suggestions = new Resource(signal => api.suggestions(path, signal));
    this.runs = new Resource(signal => api.runs(path, signal));
    const changed = () => this._changed.emit();
    this.preflight.changed.connect(changed);
    this.shipping.changed.connect(changed);
    this.draft.changed.connect(changed);
    this.request.changed.connect(changed);
    this.suggestions.changed.connect(changed);
    this.runs.changed.connect(changed);
    let isFollowed = false;
    this.shipping.changed.connect(({ isFollowingChecks }) => {
      if (isFollowingChecks && !isFollowed) {
        // It is pushed: what the forge was asked before is about the commit before.
        void this.loadRequest();
      }
      isFollowed = isFollowingChecks;
    });
    this.shipping.ended.connect((_, { job, isNews }) => {
      const isCommitted = job.commit !== null && hasCommitted(job);
      if (job.state === 'done') {
        this.draft.clear(job.message);
      } else if (isCommitted) {
        this.draft.committed(job.message);
      }
      // A job of yesterday took along nothing of what is looked at now.
      if (isNews && (job.state === 'done' || isCommitted)) {
        this.preflight.clear();
      }
      _given.acted?.(false);
      void this.loadRequest();
    });
  }

  readonly preflight: Preflight;
  readonly shipping: Shipping;
  readonly draft: Draft;
  /** The pull request of its branch, with its checks. */
  readonly request: Resource<IRequestState>;
  readonly suggestions: Resource<ISuggestions>;
  /** The runs of experiments that go along with what is chosen. */
  readonly runs: Resource<IRuns>;

  /** Something of it changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get state(): IRepositoryState {
    return this._state;
  }

  get path(): string {
    return this._state.path;
  }

  /** Counts the states: an answer to a question asked before the last one is older. */
  get version(): number {
    return this._version;
  }

  /** Whether something is being done to it, and what. */
  get doing(): string | null {
    return this._doing;
  }

  /** Why the last thing was not done. */
  get error(): AidpError | null {
    return this._error;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  get isOnForge(): boolean {
    return this._state.remotes.some(({ full_name }) => full_name);
  }

  /** Which of the changes are chosen; a choice counts before the server has heard of it. */
  isStaged(path: string): boolean | 'partly' {
    const wish = this._staging.get(path);
    const staged = this._state.changes.find(one => one.path === path)?.staged;
    return wish ?? (staged === 'partly' ? 'partly' : staged === 'yes');
  }

  take(state: IRepositoryState): void {
    const before = this._state;
    this._version++;
    this._state = state;
    this._changed.emit();
    if (state.branch !== before.branch || state.head !== before.head) {
      void this.loadRequest();
    }
    const chosen = index(state);
    if (this.commits && chosen !== this._runsOf) {
      this._runsOf = chosen;
      void this.runs.load();
    }
  }

  /** Whether something is chosen to be committed. */
  get commits(): boolean {
    return this._state.changes.some(
      ({ path }) => this.isStaged(path) !== false
    );
  }

  /** Whether files are in conflict. */
  get hasConflicts(): boolean {
    return this._state.changes.some(({ kind }) => kind === 'conflict');
  }

  stage(files: readonly string[], staged: boolean): Promise<boolean> {
    this._choices++;
    for (const file of files) {
      this._staging.set(file, staged);
    }
    this._changed.emit();
    return this._act('stage', async () => {
      try {
        return await this._given.api.stage(this.path, files, staged);
      } finally {
        files.forEach(file => this._staging.delete(file));
      }
    });
  }

  stageAll(): Promise<boolean> {
    const { changes, more } = this._state;
    const files = changes
      .filter(({ staged }) => staged !== 'yes')
      .map(({ path }) => path);
    return this.stage(more > 0 ? ['.'] : files, true);
  }

  async fix(finding: IFinding, fix: string): Promise<void> {
    await this._remedy(`fix ${finding.id}`, () =>
      this._given.api.fix(this.path, finding.id, fix)
    );
  }

  async waive(finding: IFinding, reason: string): Promise<void> {
    await this._remedy(`fix ${finding.id}`, () =>
      this._given.api.waive(this.path, finding.id, reason)
    );
  }

  pull(): Promise<boolean> {
    const { how } = this._given.options;
    return this._act('pull', () => this._given.api.pull(this.path, how));
  }

  /** Take back the last commit: its message is there to be used again. */
  undo(): Promise<boolean> {
    return this._act('undo', async () => {
      const { state, message } = await this._given.api.undo(this.path);
      if (!this.draft.message.trim()) {
        this.draft.message = message;
      }
      return state;
    });
  }

  abort(): Promise<boolean> {
    return this._act('abort', () => this._given.api.abort(this.path));
  }

  /** Go on with a merge or rebase whose conflicts are settled. */
  carryOn(): Promise<boolean> {
    return this._act('continue', () => this._given.api.carryOn(this.path));
  }

  branch(name: string): Promise<boolean> {
    return this._act('branch', () => this._given.api.branch(this.path, name));
  }

  unlock(): Promise<boolean> {
    return this._act('unlock', () => this._given.api.unlock(this.path));
  }

  dismiss(): void {
    this._error = null;
    this._changed.emit();
  }

  async loadRequest(): Promise<void> {
    if (this.isOnForge && !this._isDisposed) {
      await this.request.load();
    }
  }

  /** Ask what a pull request could say, once. */
  async loadSuggestions(): Promise<void> {
    if (this.isOnForge && !this.suggestions.value) {
      await this.suggestions.load();
    }
  }

  /** Where a pull request would go. */
  get base(): string | null {
    return this.draft.wish.base ?? this.suggestions.value?.base ?? null;
  }

  get plan(): IPlan {
    const { message, wish } = this.draft;
    const { blocking, isCurrent } = this.preflight;
    return planOf({
      state: this._state,
      commits: this.commits,
      message,
      branch: wish.branch,
      base: this.base,
      wantsRequest:
        this.isOnForge && (wish.isWanted ?? this._given.options.opensRequest),
      hasRequest: this.request.value?.pull_request?.state === 'open',
      isHeld: isCurrent && blocking > 0
    });
  }

  /** Whether the button was pressed and something is still asked for. */
  get isPreparing(): boolean {
    return this._isPreparing;
  }

  /** Whether the last press did nothing, since the plan became another meanwhile. */
  get isReplanned(): boolean {
    return this._isReplanned;
  }

  /** Commit, push and open a pull request, as planned. Never rejects. */
  async ship(): Promise<void> {
    if (this.shipping.isRunning || this._isPreparing) {
      return;
    }
    this.draft.stop();
    this._isPreparing = true;
    this._isReplanned = false;
    this._changed.emit();
    const known = this.plan.branch;
    try {
      await this._acting;
      if (this.plan.request === 'new') {
        await this.loadSuggestions();
      }
    } finally {
      this._isPreparing = false;
    }
    const { branch, commits, missing, request } = this.plan;
    // What the forge says of its main branch may ask for a branch of which the button did not tell.
    if (missing || branch !== known) {
      this._isReplanned = !missing;
      this._changed.emit();
      return;
    }
    await this.shipping.start({
      path: this.path,
      message: commits ? this.draft.message.trim() : '',
      tree: this.preflight.tree,
      branch,
      open: request === 'none' ? null : this._openRequest(),
      how: this._given.options.how,
      acknowledge: this.preflight.acknowledged,
      with_runs: !this.draft.wish.isWithoutRuns
    });
  }

  dispose(): void {
    this._isDisposed = true;
    this.preflight.dispose();
    this.shipping.dispose();
    this.draft.dispose();
    this.request.dispose();
    this.suggestions.dispose();
    this.runs.dispose();
    Signal.clearData(this);
  }

  private _openRequest(): IOpenRequest {
    const { message, wish } = this.draft;
    const suggested = this.suggestions.value;
    const [subject = ''] = message.trim().split('\n');
    return {
      title: wish.title?.trim() || subject || suggested?.title || '',
      body: wish.body ?? suggested?.template ?? '',
      draft: wish.isDraft ?? this._given.options.isDraft,
      reviewers: wish.reviewers,
      labels: wish.labels,
      base: this.base
    };
  }

  private async _remedy(
    doing: string,
    work: () => Promise<IRepositoryState>
  ): Promise<void> {
    await this._act(doing, work);
    // Also where it failed: a finding that is gone is not to be shown any longer.
    await this.preflight.run();
  }

  /** Do one thing after the other. Tells whether it was done. */
  private _act(
    doing: string,
    work: () => Promise<IRepositoryState>
  ): Promise<boolean> {
    const done = this._acting.then(async () => {
      this._doing = doing;
      this._error = null;
      this._changed.emit();
      let state: IRepositoryState | null = null;
      try {
        state = await work();
      } catch (reason) {
        this._error = asAidpError(reason);
      }
      this._doing = null;
      if (this._isDisposed) {
        return false;
      }
      if (state) {
        this.take(state);
      } else {
        this._changed.emit();
      }
      this._given.acted?.(state !== null);
      return state !== null;
    });
    this._acting = done;
    return done;
  }

  private _acting: Promise<unknown> = Promise.resolve();
  private _changed = new Signal<this, void>(this);
  private _doing: string | null = null;
  private _error: AidpError | null = null;
  private _isDisposed = false;
  private _isPreparing = false;
  private _isReplanned = false;
  /** What the runs were asked of. */
  private _runsOf: string | null = null;
  /** How often something was chosen here: the same choice again may be of another content. */
  private _choices = 0;
  /** Choices that the server has not answered yet. */
  private _staging = new Map<string, boolean>();
  private _state: IRepositoryState;
  private _version = 0;
}

function hasCommitted({ steps }: IShipJob): boolean {
  return steps.some(({ name, state }) => name === 'commit' && state === 'done');
}

/** What would be committed, in short: the same as long as that is the same, as far as can be seen from here. */
function index({ head, changes }: IRepositoryState): string {
  const staged = changes
    .filter(({ staged }) => staged !== 'no')
    .map(({ path, staged, kind, added, removed }) => [
      ...[path, staged, kind],
      ...[added, removed]
    ]);
  return JSON.stringify([head, staged]);
}
