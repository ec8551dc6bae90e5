import type { IDisposable } from '@lumino/disposable';
import { Debouncer } from '@lumino/polling';

import type { ExperimentsApi } from '../api';
import type { IPoints, IRow } from '../wire';
import { isOver } from '../wording';

/** How many points a small curve has at most. */
const POINTS = 32;
/** Who scrolls by is not shown curves. */
const REST_MS = 120;
/** How many are kept. */
const MOST = 3_000;
/** What one question may ask for. */
const RUNS_AT_ONCE = 100;

export type Spark = readonly (number | null)[];

/** The small curves beside metrics: asked for once what shows them comes to rest, many at a time. */
export class Sparks implements IDisposable {
  constructor(private _api: ExperimentsApi) {}

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  readonly subscribe = (changed: () => void): (() => void) => {
    this._watchers.add(changed);
    return () => this._watchers.delete(changed);
  };

  /** Null while it is not known. */
  get(run: string, metric: string): Spark | null {
    return this._known.get(keyOf(run, metric)) ?? null;
  }

  /** Whether any run is known to have a curve of this metric. */
  hasCurves(metric: string): boolean {
    return this._curved.has(metric);
  }

  /** These rows are seen, with these metrics. */
  need(rows: readonly IRow[], metrics: readonly string[]): void {
    this._wanted = { rows, metrics };
    if (this._missing().length > 0) {
      void this._rest.invoke().catch(() => undefined);
    }
  }

  /** Take new points of a run that goes on. */
  add({ run, metric, y }: IPoints): void {
    const key = keyOf(run, metric);
    const before = this._known.get(key);
    if (before && y.length > 0) {
      let next = [...before, ...y];
      while (next.length > 2 * POINTS) {
        next = next.filter(
          (_, index) => index % 2 === 0 || index === next.length - 1
        );
      }
      this._known.set(key, next);
      if (next.length > 1) {
        this._curved.add(metric);
      }
      this._tell();
    }
  }

  /** What is known of these runs is old. */
  forget(runs: readonly string[]): void {
    const gone = new Set(runs);
    for (const key of this._known.keys()) {
      if (gone.has(key.slice(0, key.indexOf('\0')))) {
        this._known.delete(key);
      }
    }
  }

  dispose(): void {
    this._isDisposed = true;
    this._abort.abort();
    this._rest.dispose();
    this._watchers.clear();
    this._known.clear();
  }

  private _missing(): readonly IRow[] {
    const { rows, metrics } = this._wanted;
    return rows
      .filter(({ id, values }) =>
        metrics.some(
          metric =>
            typeof values[`metrics.${metric}`] === 'number' &&
            !this._known.has(keyOf(id, metric))
        )
      )
      .slice(0, RUNS_AT_ONCE);
  }

  private async _load(): Promise<void> {
    const rows = this._missing();
    if (rows.length === 0 || this._isDisposed) {
      return;
    }
    this._abort.abort();
    const { signal } = (this._abort = new AbortController());
    const runs = rows.map(({ id }) => id);
    const metrics = this._wanted.metrics.slice(0, 20);
    try {
      const curves = await this._api.curves(
        { runs, metrics, points: POINTS, axis: 'step' },
        signal
      );
      for (const run of runs) {
        // One that is not answered has no curve, and is not asked for again.
        metrics.forEach(metric => this._keep(keyOf(run, metric), []));
      }
      for (const { run, metric, y } of curves) {
        this._keep(keyOf(run, metric), y);
        if (y.length > 1) {
          this._curved.add(metric);
        }
      }
    } catch {
      // The list says what is the matter; a curve less is no matter.
      return;
    }
    this._tell();
  }

  private _keep(key: string, spark: Spark): void {
    this._known.delete(key);
    this._known.set(key, spark);
    if (this._known.size > MOST) {
      this._known.delete(this._known.keys().next().value!);
    }
  }

  private _tell(): void {
    for (const watcher of this._watchers) {
      watcher();
    }
  }

  private _abort = new AbortController();
  private _curved = new Set<string>();
  private _isDisposed = false;
  private _known = new Map<string, Spark>();
  private _rest = new Debouncer(() => this._load(), REST_MS);
  private _wanted: {
    readonly rows: readonly IRow[];
    readonly metrics: readonly string[];
  } = { rows: [], metrics: [] };
  private _watchers = new Set<() => void>();
}

/** Of these rows the ones whose curves grow. */
export function growing(rows: readonly IRow[]): readonly string[] {
  return rows.filter(row => !isOver(row)).map(({ id }) => id);
}

function keyOf(run: string, metric: string): string {
  return `${run}\0${metric}`;
}
