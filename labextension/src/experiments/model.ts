import type { IDisposable } from '@lumino/disposable';
import { Poll, Throttler } from '@lumino/polling';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from '../shared/request';
import { asAidpError } from '../shared/request';
import { Resource } from '../shared/resource';
import type { ExperimentsApi } from './api';
import type { Kept } from './kept';
import type { ExperimentsLive } from './live';
import type { IExperiment, IExperiments, ITracking } from './wire';

/** Changes that come together are one reason to look at the experiments. */
const GATHER_MS = 1_000;
/** How often to look for experiments of which nobody tells. */
const CALM_MS = 10_000;
/** How many runs of an experiment can be hidden: each is part of every question. */
export const MOST_HIDDEN = 500;

/** The experiments that there are, and how the tracking server is. */
export class ExperimentsModel implements IDisposable {
  constructor(
    readonly api: ExperimentsApi,
    readonly live: ExperimentsLive,
    readonly kept: Kept
  ) {
    this.list = new Resource<IExperiments>(signal => api.experiments(signal));
    this.list.changed.connect(() => {
      this._tracking = this.list.value?.tracking ?? this._tracking;
      this._changed.emit();
    });
    this._poll = new Poll({
      name: 'aidp-ext:experiments',
      auto: false,
      factory: () => this.list.load(),
      frequency: { interval: CALM_MS, backoff: true, max: 60_000 },
      standby: () => (this._isVisible ? 'when-hidden' : true)
    });
    live.tracking.connect((_, tracking) => this._track(tracking));
    live.runs.connect(() => this._soon());
    live.resync.connect(() => this._soon());
  }

  readonly list: Resource<IExperiments>;

  /** Something below changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** What lists show is old: runs were deleted or restored here. */
  get acted(): ISignal<this, void> {
    return this._acted;
  }

  /** Which runs are hidden is another matter now. */
  get hiddenChanged(): ISignal<this, string> {
    return this._hiddenChanged;
  }

  get experiments(): readonly IExperiment[] {
    return this.list.value?.experiments ?? [];
  }

  get tracking(): ITracking | null {
    return this._tracking;
  }

  /** Why the experiments are not known, or the tracking server did not start. */
  get error(): AidpError | null {
    return this.list.error;
  }

  get startError(): AidpError | null {
    return this._startError;
  }

  get isStarting(): boolean {
    return this._isStarting || this._tracking?.state === 'starting';
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** How many panels are seen: nothing is asked while there is none. */
  set isVisible(isVisible: boolean) {
    if (isVisible !== this._isVisible) {
      this._isVisible = isVisible;
      void (isVisible ? this._poll.refresh() : this._poll.stop());
    }
  }

  /** The one with running runs that is not this one, and where most happens. */
  busy(than: string | null): IExperiment | null {
    const others = this.experiments.filter(
      ({ id, running, stage }) =>
        stage === 'active' && running > 0 && id !== than
    );
    return (
      others.sort((a, b) => (b.last_ms ?? 0) - (a.last_ms ?? 0))[0] ?? null
    );
  }

  find(id: string | null): IExperiment | null {
    return this.experiments.find(one => one.id === id) ?? null;
  }

  /** The experiment in which something happened last. */
  get latest(): IExperiment | null {
    const active = this.experiments.filter(({ stage }) => stage === 'active');
    return (
      [...active].sort(
        (a, b) =>
          Number(b.runs > 0) - Number(a.runs > 0) ||
          (b.last_ms ?? 0) - (a.last_ms ?? 0)
      )[0] ?? null
    );
  }

  /** Start the tracking server. Never rejects: a failure becomes `startError`. */
  async start(): Promise<void> {
    if (this._isStarting) {
      return;
    }
    this._isStarting = true;
    this._startError = null;
    this._changed.emit();
    try {
      this._tracking = await this.api.start();
    } catch (error) {
      this._startError = asAidpError(error);
    }
    this._isStarting = false;
    this._changed.emit();
    await this.list.load();
  }

  async create(name: string): Promise<IExperiment> {
    const made = await this.api.createExperiment(name);
    await this.list.load();
    return made;
  }

  async rename(id: string, name: string): Promise<void> {
    await this.api.changeExperiment(id, { name });
    await this.list.load();
  }

  async remove(id: string): Promise<void> {
    await this.api.deleteExperiment(id);
    await this.list.load();
  }

  async restore(id: string): Promise<void> {
    await this.api.restoreExperiment(id);
    await this.list.load();
  }

  /** Runs were deleted or restored. */
  tellActed(): void {
    this._acted.emit();
    this._soon();
  }

  hidden(experiment: string): readonly string[] {
    return this.kept.hidden(experiment);
  }

  /** Hide runs, or show them again. Returns how many could not be hidden. */
  hide(experiment: string, runs: readonly string[], isHidden: boolean): number {
    const before = this.hidden(experiment).filter(id => !runs.includes(id));
    const after = isHidden ? [...before, ...runs] : before;
    this.kept.setHidden(experiment, after.slice(0, MOST_HIDDEN));
    this._hiddenChanged.emit(experiment);
    return Math.max(0, after.length - MOST_HIDDEN);
  }

  dispose(): void {
    this._isDisposed = true;
    this.list.dispose();
    this._look.dispose();
    this._poll.dispose();
    this.kept.dispose();
    Signal.clearData(this);
  }

  private _soon(): void {
    if (this._isVisible) {
      void this._look.invoke().catch(() => undefined);
    }
  }

  private _track(tracking: ITracking): void {
    const wasReady = this._tracking?.state === 'ready';
    this._tracking = tracking;
    this._changed.emit();
    if (tracking.state === 'ready' && !wasReady) {
      this._soon();
    }
  }

  private _acted = new Signal<this, void>(this);
  private _changed = new Signal<this, void>(this);
  private _hiddenChanged = new Signal<this, string>(this);
  private _isDisposed = false;
  private _isStarting = false;
  private _isVisible = false;
  private _look = new Throttler(() => this.list.load(), {
    limit: GATHER_MS,
    edge: 'trailing'
  });
  private _poll: Poll;
  private _startError: AidpError | null = null;
  private _tracking: ITracking | null = null;
}
