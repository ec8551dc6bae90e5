/**
 * A list that grows at its top and does not move while it is read.
 *
 * While it is held, what is shown is brought up to date in its place, older items may follow at the end, and new ones
 * wait above a marker until the reader lets them in or goes away.
 */
export class Feed<T extends { readonly id: string }> {
  /** What to show, newest first. */
  get items(): readonly T[] {
    return this._items;
  }

  /** How many new items wait. */
  get waiting(): number {
    return this._waiting;
  }

  /** Take the list as it is now, newest first. */
  take(latest: readonly T[]): void {
    this._latest = latest;
    if (!this._isHeld || this._items.length === 0) {
      this.release();
      return;
    }
    const now = new Map(latest.map(item => [item.id, item]));
    const shown = new Set(this._items.map(({ id }) => id));
    const first = latest.findIndex(({ id }) => shown.has(id));
    this._waiting = first < 0 ? latest.length : first;
    this._items = [
      ...this._items.map(item => now.get(item.id) ?? item),
      ...latest.slice(this._waiting).filter(({ id }) => !shown.has(id))
    ];
  }

  /** Let in what waits. */
  release(): void {
    this._items = this._latest;
    this._waiting = 0;
  }

  /** Whether someone reads it. */
  hold(isHeld: boolean): void {
    this._isHeld = isHeld;
    if (!isHeld) {
      this.release();
    }
  }

  private _isHeld = false;
  private _items: readonly T[] = [];
  private _latest: readonly T[] = [];
  private _waiting = 0;
}
