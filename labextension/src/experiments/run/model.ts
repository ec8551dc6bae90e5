import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from '../../shared/request';
import { asAidpError } from '../../shared/request';
import { Resource } from '../../shared/resource';
import type { ExperimentsApi } from '../api';
import type { ExperimentsLive } from '../live';
import { Curves } from '../plot/curves';
import type { IPoints, IRunChange, IRunDetail, IRunsNews } from '../wire';
import { RunCode } from './code';

/** What happens in quick succession is one reason to ask. */
const GATHER_MS = 400;

/** What a run is and how it is changed; it follows what happens to the run while it is seen. */
export class RunModel implements IDisposable {
  constructor(
    private _api: ExperimentsApi,
    private _live: ExperimentsLive,
    readonly id: string
  ) {
    this.detail = new Resource(signal => _api.run(id, signal));
    this.detail.changed.connect(() => {
      this._watch();
      this._changed.emit();
    });
    this.curves = new Curves(_api, [id]);
    this.code = new RunCode(_api, id);
    _live.points.connect(this._onPoints, this);
    _live.runs.connect(this._onRuns, this);
    _live.resync.connect(this._onResync, this);
  }

  readonly detail: Resource<IRunDetail>;
  readonly curves: Curves;
  readonly code: RunCode;

  /** The run, or how it is changed, is another. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get run(): IRunDetail | null {
    return this.detail.value;
  }

  /** Why the last change was not made. */
  get error(): AidpError | null {
    return this._error;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Only a run that is seen is followed. */
  set isVisible(isVisible: boolean) {
    if (isVisible === this._isVisible) {
      return;
    }
    this._isVisible = isVisible;
    this._watch();
    if (isVisible) {
      void this.detail.load();
      this.curves.resync();
    }
  }

  refresh(): Promise<void> {
    this.curves.resync();
    return this.detail.load();
  }

  /** Change the run. Never rejects: returns whether it was done, and `error` says why it was not. */
  change(change: IRunChange): Promise<boolean> {
    return this._do(async () => {
      this.detail.set(await this._api.changeRun(this.id, change));
    });
  }

  /** Delete it, or take it back. */
  remove(isRemoved: boolean): Promise<boolean> {
    return this._do(async () => {
      const { failed } = await (isRemoved
        ? this._api.deleteRuns([this.id])
        : this._api.undeleteRuns([this.id]));
      if (failed[0]) {
        throw asAidpError(failed[0].message);
      }
      await this.detail.load();
    });
  }

  dismiss(): void {
    this._error = null;
    this._changed.emit();
  }

  dispose(): void {
    this._isDisposed = true;
    clearTimeout(this._timer);
    this._live.watch(this, null);
    this.detail.dispose();
    this.curves.dispose();
    this.code.dispose();
    Signal.clearData(this);
  }

  private async _do(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      this._error = null;
    } catch (reason) {
      this._error = asAidpError(reason);
    }
    if (!this._isDisposed) {
      this._changed.emit();
    }
    return this._error === null;
  }

  private _watch(): void {
    const { run } = this;
    this._live.watch(
      this,
      this._isVisible && !this._isDisposed
        ? {
            runs: [this.id],
            experiments: run ? [run.experiment_id] : []
          }
        : null
    );
  }

  private _onPoints(_: ExperimentsLive, points: IPoints): void {
    if (points.run !== this.id) {
      return;
    }
    this.curves.append(points, this.run?.start_ms ?? null);
    this._soon();
  }

  private _onRuns(_: ExperimentsLive, { rows, removed }: IRunsNews): void {
    if (removed.includes(this.id) || rows.some(({ id }) => id === this.id)) {
      this._soon();
    }
  }

  private _onResync(): void {
    if (this._isVisible) {
      void this.refresh();
    }
  }

  private _soon(): void {
    this._timer ??= setTimeout(() => {
      this._timer = undefined;
      void this.detail.load();
    }, GATHER_MS);
  }

  private _changed = new Signal<this, void>(this);
  private _error: AidpError | null = null;
  private _isDisposed = false;
  private _isVisible = false;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}
