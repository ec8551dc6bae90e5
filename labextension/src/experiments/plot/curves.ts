import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from '../../shared/request';
import { asAidpError } from '../../shared/request';
import type { ExperimentsApi } from '../api';
import type { Axis, ICurve, IPoints } from '../wire';
import { appended } from './append';

/** How many points of a curve a small chart is drawn from, and how many may pile up before it is asked for anew. */
const POINTS = 500;
const MOST_POINTS = 4 * POINTS;
/** How many points a part that is looked at closely is drawn from. */
const FINE_POINTS = 1_500;
/** How many curves one answer holds, and how many metrics one question may name. */
const CURVES_AT_ONCE = 60;
const METRICS_AT_ONCE = 20;

/** A metric of the runs: its curves, or why there are none. */
export interface ICurveState {
  readonly curves: readonly ICurve[] | null;
  readonly error: AidpError | null;
}

const NOTHING: ICurveState = { curves: null, error: null };

/** The curves of some runs: asked for when a chart is seen, several in one question, and continued as points come in. */
export class Curves implements IDisposable {
  constructor(
    private _api: Pick<ExperimentsApi, 'curves'>,
    private _runs: readonly string[] = []
  ) {}

  /** The curves of this metric changed; of all where it is null. */
  get changed(): ISignal<this, string | null> {
    return this._changed;
  }

  get axis(): Axis {
    return this._axis;
  }

  set axis(axis: Axis) {
    if (axis !== this._axis) {
      this._axis = axis;
      this._forget();
    }
  }

  get runs(): readonly string[] {
    return this._runs;
  }

  set runs(runs: readonly string[]) {
    if (runs.join() !== this._runs.join()) {
      this._runs = runs;
      this._forget();
    }
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** What is known of a metric; asks for it where nothing is. */
  get(metric: string): ICurveState {
    const state = this._states.get(metric);
    if (!state) {
      this._states.set(metric, NOTHING);
      this._want(metric);
    }
    return state ?? NOTHING;
  }

  /** Ask again; what is known stays until the answer comes. */
  reload(metric: string): void {
    this._want(metric);
  }

  /** Ask again for all that was asked for: something may have been missed. */
  resync(): void {
    [...this._states.keys()].forEach(metric => this._want(metric));
  }

  /** A part of a metric's curves in finer steps. */
  finer(
    metric: string,
    from: number,
    to: number,
    signal: AbortSignal
  ): Promise<readonly ICurve[]> {
    const { _axis: axis, _runs: runs } = this;
    const points = FINE_POINTS;
    return this._api.curves(
      { runs, metrics: [metric], points, axis, from, to },
      signal
    );
  }

  /** Take new points of a run. */
  append(points: IPoints, startMs: number | null): void {
    const { metric, run } = points;
    const known = this._states.get(metric)?.curves;
    if (!known || !this._runs.includes(run)) {
      return;
    }
    const index = known.findIndex(curve => curve.run === run);
    const before = known[index] ?? empty(run, metric);
    const after = appended(before, points, this._axis, startMs);
    if (after === before) {
      return;
    }
    const curves = [...known];
    curves[index < 0 ? known.length : index] = after;
    this._states.set(metric, { curves, error: null });
    this._changed.emit(metric);
    if (after.x.length > MOST_POINTS) {
      this._want(metric);
    }
  }

  dispose(): void {
    this._isDisposed = true;
    this._abort.abort();
    Signal.clearData(this);
  }

  private _forget(): void {
    this._abort.abort();
    this._abort = new AbortController();
    this._states.clear();
    this._wanted.clear();
    this._running = 0;
    this._changed.emit(null);
  }

  private _want(metric: string): void {
    if (this._wanted.size === 0) {
      // Charts come into view several at a time.
      queueMicrotask(() => this._ask());
    }
    this._wanted.add(metric);
  }

  private _ask(): void {
    const many = Math.floor(CURVES_AT_ONCE / Math.max(1, this._runs.length));
    const atOnce = Math.max(1, Math.min(METRICS_AT_ONCE, many));
    // Two questions at a time: what is looked at now is not kept waiting by all that was scrolled past.
    while (this._running < 2 && this._wanted.size > 0 && !this._isDisposed) {
      const metrics = [...this._wanted].slice(-atOnce);
      metrics.forEach(metric => this._wanted.delete(metric));
      void this._load(metrics);
    }
  }

  private async _load(metrics: readonly string[]): Promise<void> {
    const { signal } = this._abort;
    const { _axis: axis, _runs: runs } = this;
    this._running++;
    let found: readonly ICurve[] = [];
    let error: AidpError | null = null;
    try {
      found =
        runs.length > 0
          ? await this._api.curves(
              { runs, metrics, points: POINTS, axis },
              signal
            )
          : [];
    } catch (reason) {
      error = asAidpError(reason);
    }
    if (signal.aborted) {
      return;
    }
    this._running--;
    for (const metric of metrics) {
      const curves = error
        ? (this._states.get(metric)?.curves ?? null)
        : found.filter(curve => curve.metric === metric);
      this._states.set(metric, { curves, error });
      this._changed.emit(metric);
    }
    this._ask();
  }

  private _abort = new AbortController();
  private _axis: Axis = 'step';
  private _changed = new Signal<this, string | null>(this);
  private _isDisposed = false;
  private _running = 0;
  private _states = new Map<string, ICurveState>();
  private _wanted = new Set<string>();
}

function empty(run: string, metric: string): ICurve {
  const none: never[] = [];
  return {
    run,
    metric,
    x: none,
    y: none,
    min: none,
    max: none,
    step: none,
    time_ms: none,
    total: 0,
    not_finite: 0
  };
}
