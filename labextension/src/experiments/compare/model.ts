import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { Resource } from '../../shared/resource';
import type { ExperimentsApi } from '../api';
import type { ExperimentsLive } from '../live';
import { Curves } from '../plot/curves';
import type { IComparison, IPoints, IRow, IRunsNews } from '../wire';

export const FEWEST = 2;
export const MOST = 50;
/** What happens in quick succession is one reason to ask. */
const GATHER_MS = 1_000;

/** Some runs side by side. */
export class CompareModel implements IDisposable {
  constructor(
    private _api: ExperimentsApi,
    private _live: ExperimentsLive,
    runs: readonly string[]
  ) {
    this._runs = runs;
    this._base = runs[0] ?? null;
    runs.forEach(run => this._number(run));
    this.comparison = new Resource(signal =>
      this._api.compare(this._runs, signal)
    );
    this.comparison.changed.connect(() => {
      this._watch();
      this._changed.emit();
    });
    this.curves = new Curves(_api, runs);
    _live.points.connect(this._onPoints, this);
    _live.runs.connect(this._onRuns, this);
    _live.resync.connect(this._onResync, this);
  }

  readonly comparison: Resource<IComparison>;
  readonly curves: Curves;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get runs(): readonly string[] {
    return this._runs;
  }

  /** What the others are compared with. */
  get base(): string | null {
    return this._base;
  }

  set base(run: string | null) {
    this._base = run;
    this._changed.emit();
  }

  /** Runs that are not drawn. */
  get hidden(): ReadonlySet<string> {
    return this._hidden;
  }

  set hidden(hidden: ReadonlySet<string>) {
    this._hidden = hidden;
    this._changed.emit();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  set isVisible(isVisible: boolean) {
    if (isVisible === this._isVisible) {
      return;
    }
    this._isVisible = isVisible;
    this._watch();
    if (isVisible) {
      this._load();
      this.curves.resync();
    }
  }

  /** By which number a run's colour goes: its own as long as it is here. */
  lookOf(run: string): number {
    return this._looks.get(run) ?? 0;
  }

  add(runs: readonly string[]): void {
    const news = runs.filter(run => !this._runs.includes(run));
    this._set([...this._runs, ...news].slice(0, MOST));
  }

  remove(run: string): void {
    this._set(this._runs.filter(one => one !== run));
  }

  refresh(): void {
    this.curves.resync();
    this._load();
  }

  dispose(): void {
    this._isDisposed = true;
    clearTimeout(this._timer);
    this._live.watch(this, null);
    this.comparison.dispose();
    this.curves.dispose();
    Signal.clearData(this);
  }

  private _set(runs: readonly string[]): void {
    this._runs = runs;
    for (const run of [...this._looks.keys()]) {
      if (!runs.includes(run)) {
        this._looks.delete(run);
      }
    }
    runs.forEach(run => this._number(run));
    if (this._base === null || !runs.includes(this._base)) {
      this._base = runs[0] ?? null;
    }
    this._hidden = new Set([...this._hidden].filter(one => runs.includes(one)));
    this.curves.runs = runs;
    this._watch();
    this._load();
    this._changed.emit();
  }

  private _number(run: string): void {
    if (!this._looks.has(run)) {
      const taken = new Set(this._looks.values());
      let number = 0;
      while (taken.has(number)) {
        number++;
      }
      this._looks.set(run, number);
    }
  }

  private _load(): void {
    if (this._runs.length >= FEWEST) {
      void this.comparison.load();
    }
  }

  private _watch(): void {
    const rows = this.comparison.value?.runs ?? [];
    const experiments = [...new Set(rows.map(row => row.experiment_id))];
    this._live.watch(
      this,
      this._isVisible && !this._isDisposed
        ? { runs: this._runs, experiments }
        : null
    );
  }

  private _onPoints(_: ExperimentsLive, points: IPoints): void {
    if (this._runs.includes(points.run)) {
      const row = this.comparison.value?.runs.find(
        ({ id }: IRow) => id === points.run
      );
      this.curves.append(points, row?.start_ms ?? null);
      this._soon();
    }
  }

  private _onRuns(_: ExperimentsLive, { rows, removed }: IRunsNews): void {
    const isOurs = (id: string) => this._runs.includes(id);
    if (removed.some(isOurs) || rows.some(({ id }) => isOurs(id))) {
      this._soon();
    }
  }

  private _onResync(): void {
    if (this._isVisible) {
      this.refresh();
    }
  }

  private _soon(): void {
    this._timer ??= setTimeout(() => {
      this._timer = undefined;
      this._load();
    }, GATHER_MS);
  }

  private _base: string | null;
  private _changed = new Signal<this, void>(this);
  private _hidden: ReadonlySet<string> = new Set();
  private _isDisposed = false;
  private _isVisible = false;
  private _looks = new Map<string, number>();
  private _runs: readonly string[];
  private _timer: ReturnType<typeof setTimeout> | undefined;
}
