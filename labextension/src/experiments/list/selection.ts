import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { IRow } from '../wire';
import type { RunWindow } from './window';

/** How many runs a range may hold: each of them is asked for. */
export const MOST_IN_RANGE = 1_000;

/** Which runs are selected, and where the keyboard is. */
export class Selection {
  constructor(private _window: RunWindow) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get size(): number {
    return this._rows.size;
  }

  get ids(): readonly string[] {
    return [...this._rows.keys()];
  }

  get rows(): readonly IRow[] {
    return [...this._rows.values()];
  }

  /** The place that the keyboard is at. */
  get active(): number {
    const last = Math.max(0, (this._window.total ?? 0) - 1);
    return Math.min(this._active, last);
  }

  /** What a command is about: the runs that are selected, else the one that the keyboard is at. */
  get chosen(): readonly IRow[] {
    const row = this._window.row(this.active);
    return this._rows.size > 0 ? this.rows : row ? [row] : [];
  }

  has(id: string): boolean {
    return this._rows.has(id);
  }

  /** Move to a place; with `isRange`, select all from where the range began to there. */
  move(to: number, isRange = false): void {
    if (isRange && this._rows.size === 0) {
      this._anchor = this.active;
    }
    this._active = Math.max(0, Math.min(to, (this._window.total ?? 0) - 1));
    if (isRange) {
      void this._selectRange();
    }
    this._changed.emit();
  }

  /** Select or not the run at a place, and move there. */
  toggle(index: number): void {
    const row = this._window.row(index);
    if (row) {
      this._active = this._anchor = index;
      if (!this._rows.delete(row.id)) {
        this._rows.set(row.id, row);
      }
      this._changed.emit();
    }
  }

  /** Select all, as far as that many can be. */
  async selectAll(): Promise<void> {
    this._anchor = 0;
    await this._select(0, (this._window.total ?? 0) - 1);
  }

  clear(): void {
    this._rows.clear();
    this._changed.emit();
  }

  /** Go back to the top of another list. */
  restart(keepsRuns: boolean): void {
    this._active = this._anchor = 0;
    if (!keepsRuns) {
      this._rows.clear();
    }
  }

  remove(ids: readonly string[]): void {
    ids.forEach(id => this._rows.delete(id));
  }

  /** Take what has become of those that are selected. */
  hear(rows: readonly IRow[]): void {
    for (const row of rows) {
      if (this._rows.has(row.id)) {
        this._rows.set(row.id, row);
      }
    }
  }

  private async _selectRange(): Promise<void> {
    const [from, to] = [this._anchor, this._active].sort((a, b) => a - b);
    await this._select(from!, to!);
  }

  private async _select(from: number, to: number): Promise<void> {
    const asked = ++this._asked;
    const last = Math.min(to, from + MOST_IN_RANGE - 1);
    // Without an answer it stays as it was; the list says why there is none.
    const rows = await this._window.rows(from, last).catch(() => null);
    if (rows && asked === this._asked) {
      this._rows = new Map(rows.map(row => [row.id, row]));
      this._changed.emit();
    }
  }

  private _active = 0;
  private _anchor = 0;
  private _asked = 0;
  private _changed = new Signal<this, void>(this);
  private _rows = new Map<string, IRow>();
}
