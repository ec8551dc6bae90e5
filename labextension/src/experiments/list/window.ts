import type { IDisposable } from '@lumino/disposable';
import { Throttler } from '@lumino/polling';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from '../../shared/request';
import { asAidpError } from '../../shared/request';
import type { IRow, IRunPage } from '../wire';

/** How many runs are asked for at a time. */
export const PAGE = 100;
/** How many pages are kept: who scrolls through a hundred thousand runs does not keep them all. */
const MOST_PAGES = 60;
/** How many questions are under way at a time. */
const MOST_AT_ONCE = 2;
/** How often it is looked whether there are new runs. */
const LOOK_MS = 700;

/** Asks for some of the runs; which ones, in which order, is the asker's. */
export type AskPage = (
  offset: number,
  limit: number,
  signal: AbortSignal
) => Promise<IRunPage>;

/**
 * A long list of which the parts are known that someone has looked at.
 *
 * While it is held, rows are brought up to date in their place, and new ones wait above it.
 */
export class RunWindow implements IDisposable {
  constructor(private _ask: AskPage) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** How many rows there are; null until the first answer. */
  get total(): number | null {
    return this._total;
  }

  /** How many new rows wait above. */
  get waiting(): number {
    return this._waiting;
  }

  /** As of which state of the server the list is. */
  get version(): string {
    return this._version;
  }

  /** Why the last question had no answer. */
  get error(): AidpError | null {
    return this._error;
  }

  get isLoading(): boolean {
    return this._isDue || this._underWay.size > 0;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** The row at a place; null where it is not known yet. */
  row(index: number): IRow | null {
    return this._pages.get(Math.floor(index / PAGE))?.[index % PAGE] ?? null;
  }

  /** The place of a run, where it is known. */
  indexOf(id: string): number {
    return this._places.get(id) ?? -1;
  }

  /** All rows that are known, in their order. */
  get known(): readonly IRow[] {
    return [...this._pages.keys()]
      .sort((a, b) => a - b)
      .flatMap(page => this._pages.get(page)!);
  }

  isGone(id: string): boolean {
    return this._gone.has(id);
  }

  /** Someone looks at these places: those that are not known are asked for. */
  need(first: number, last: number): void {
    this._first = first;
    this._last = last;
    this._pump();
  }

  /** The rows from one place to another, asked for where they are not known. Rejects where there is no answer. */
  async rows(first: number, last: number): Promise<readonly IRow[]> {
    const wanted: number[] = [];
    for (let p = Math.floor(first / PAGE); p <= Math.floor(last / PAGE); p++) {
      wanted.push(p);
    }
    for (const page of wanted) {
      if (!this._pages.has(page)) {
        await this._load(page);
        if (this._error) {
          throw this._error;
        }
      }
    }
    const found: IRow[] = [];
    for (let index = first; index <= last; index++) {
      const row = this.row(index);
      if (row) {
        found.push(row);
      }
    }
    return found;
  }

  /**
   * Begin anew, with another question. Until its answer is there, what was found before is shown, unless `isElsewhere`
   * says that it has nothing to do with it.
   */
  restart(isElsewhere = false): void {
    this._stop();
    if (isElsewhere) {
      this._pages.clear();
      this._places.clear();
      this._total = null;
    }
    this._forgetNews();
    this._error = null;
    this._isDue = true;
    this._changed.emit();
    void this.refresh();
  }

  /** Ask the same anew, and let in what waits; what is known stays until there is an answer. Never rejects. */
  async refresh(): Promise<void> {
    this._stop();
    const { signal } = this._abort;
    const page = await this._answer(0, PAGE, signal);
    if (signal.aborted) {
      return;
    }
    this._isDue = false;
    if (page) {
      this._adopt(page);
    }
    this._changed.emit();
    this._pump();
  }

  /** Let in what waits. */
  release(): void {
    if (this._waiting > 0 || this._gone.size > 0) {
      void this.refresh();
    }
  }

  /** Whether someone reads it. */
  hold(isHeld: boolean): void {
    if (isHeld !== this._isHeld) {
      this._isHeld = isHeld;
      if (!isHeld) {
        this.release();
      }
    }
  }

  /** Take what has become of runs; `mayMove` says that others may be in the list now, or in another order. */
  hear(
    rows: readonly IRow[],
    removed: readonly string[],
    mayMove: boolean
  ): void {
    let isNew = false;
    const pages = new Map<number, IRow[]>();
    for (const row of rows) {
      const place = this._places.get(row.id);
      if (place === undefined) {
        isNew = true;
        continue;
      }
      const number = Math.floor(place / PAGE);
      const page = pages.get(number) ?? [...(this._pages.get(number) ?? [])];
      const before = page[place % PAGE];
      if (before) {
        // The news may be of fewer columns than the list shows.
        const values = { ...before.values, ...row.values };
        page[place % PAGE] = { ...row, values };
        pages.set(number, page);
      }
    }
    pages.forEach((page, number) => this._pages.set(number, page));
    const gone = removed.filter(id => this._places.has(id));
    gone.forEach(id => this._gone.add(id));
    if (isNew || gone.length > 0 || (mayMove && !this._isHeld)) {
      this.look();
    }
    if (pages.size > 0 || gone.length > 0) {
      this._changed.emit();
    }
  }

  /** Look soon whether there are other runs now. */
  look(): void {
    void this._look.invoke().catch(() => undefined);
  }

  dispose(): void {
    this._isDisposed = true;
    this._stop();
    this._look.dispose();
    Signal.clearData(this);
  }

  /** Look whether there are other runs now. */
  private async _check(): Promise<void> {
    if (!this._isHeld || !this._total) {
      await this.refresh();
      return;
    }
    const { signal } = this._abort;
    const page = await this._answer(0, 1, signal);
    if (page && !signal.aborted && this._total !== null) {
      const waiting = Math.max(0, page.total - this._total + this._gone.size);
      if (waiting !== this._waiting) {
        this._waiting = waiting;
        this._changed.emit();
      }
    }
  }

  private _adopt({ runs, total, version }: IRunPage): void {
    this._version = version;
    this._pages.clear();
    this._places.clear();
    this._total = total;
    this._forgetNews();
    this._keep(0, runs);
  }

  private _forgetNews(): void {
    this._waiting = 0;
    this._gone.clear();
  }

  private _keep(number: number, rows: readonly IRow[]): void {
    this._pages.set(number, [...rows]);
    rows.forEach(({ id }, at) => this._places.set(id, number * PAGE + at));
    if (this._pages.size > MOST_PAGES) {
      const middle = (this._first + this._last) / 2 / PAGE;
      const [farthest] = [...this._pages.keys()].sort(
        (a, b) => Math.abs(b - middle) - Math.abs(a - middle)
      );
      for (const { id } of this._pages.get(farthest!)!) {
        this._places.delete(id);
      }
      this._pages.delete(farthest!);
    }
  }

  /** Ask for what is looked at now: what was looked at in passing is not asked for. */
  private _pump(): void {
    const { _total: total } = this;
    if (total === null || this._isDue || this._isDisposed) {
      return;
    }
    const last = Math.min(this._last, total - 1);
    for (
      let page = Math.max(0, Math.floor(this._first / PAGE));
      page <= Math.floor(last / PAGE) && this._underWay.size < MOST_AT_ONCE;
      page++
    ) {
      if (!this._pages.has(page) && !this._underWay.has(page)) {
        void this._load(page);
      }
    }
  }

  private async _load(number: number): Promise<void> {
    const { signal } = this._abort;
    this._underWay.add(number);
    // Those that wait are there already, above all that is shown.
    const offset = number * PAGE + this._waiting;
    const page = await this._answer(offset, PAGE, signal);
    if (signal.aborted) {
      return;
    }
    this._underWay.delete(number);
    if (page) {
      this._keep(number, page.runs);
      this._changed.emit();
      this._pump();
    } else {
      this._changed.emit();
    }
  }

  private async _answer(
    offset: number,
    limit: number,
    signal: AbortSignal
  ): Promise<IRunPage | null> {
    try {
      const page = await this._ask(offset, limit, signal);
      this._error = signal.aborted ? this._error : null;
      return page;
    } catch (error) {
      this._error = signal.aborted ? this._error : asAidpError(error);
      return null;
    }
  }

  private _stop(): void {
    this._abort.abort();
    this._abort = new AbortController();
    this._underWay.clear();
  }

  private _abort = new AbortController();
  private _changed = new Signal<this, void>(this);
  private _error: AidpError | null = null;
  private _first = 0;
  private _gone = new Set<string>();
  private _isDisposed = false;
  private _isDue = true;
  private _isHeld = false;
  private _last = 0;
  private _look = new Throttler(() => this._check(), {
    limit: LOOK_MS,
    edge: 'trailing'
  });
  private _pages = new Map<number, IRow[]>();
  private _places = new Map<string, number>();
  private _total: number | null = null;
  private _underWay = new Set<number>();
  private _version = '';
  private _waiting = 0;
}
