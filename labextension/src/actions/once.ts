/**
 * What two people accept in the same instant is there once.
 *
 * Live editing keeps what both have written, and puts it in the same order for all. So whoever finds the other's before
 * their own takes their own away; the other one finds nothing before theirs, and does nothing.
 */

/** How long others may take to tell of what they wrote, in ms. */
const INSTANT_MS = 30_000;

/** A piece of a shared text's change. */
export interface IDelta {
  readonly retain?: number;
  readonly delete?: number;
  readonly insert?: unknown;
}

type Observer = (
  event: { readonly changes: { readonly delta: readonly IDelta[] } },
  transaction: { readonly local: boolean }
) => void;

/** A text that may be shared: of a cell, or of a file. */
export interface ISharedText {
  updateSource(start: number, end: number, value?: string): void;
  transact(change: () => void, undoable?: boolean): void;
  /** Not in the interface of the models, but in all of them. */
  readonly ysource?: {
    observe(observer: Observer): void;
    unobserve(observer: Observer): void;
  };
}

/** A part of a text that was written, as long as nobody changes it. */
export interface IPlace {
  readonly start: number;
  readonly text: string;
}

/** Where places are after a change of their text, and which of them now stand behind the same once more. */
export function follow(
  places: readonly IPlace[],
  delta: readonly IDelta[]
): { readonly places: IPlace[]; readonly twice: IPlace[] } {
  const kept: IPlace[] = [];
  const twice: IPlace[] = [];
  for (const { start, text } of places) {
    let [at, moved] = [0, 0];
    let [isWhole, isTwice] = [true, false];
    const end = start + text.length;
    for (const { retain = 0, delete: gone = 0, insert } of delta) {
      const size = typeof insert === 'string' ? insert.length : insert ? 1 : 0;
      if (at <= start) {
        moved += size;
        isTwice ||= at === start && size > 0 && insert === text;
        moved -= Math.max(0, Math.min(gone, start - at));
      } else if (at < end && size > 0) {
        isWhole = false;
      }
      isWhole &&= gone === 0 || at + gone <= start || at >= end;
      at += retain + gone;
    }
    if (isWhole) {
      const place = { start: start + moved, text };
      (isTwice ? twice : kept).push(place);
    }
  }
  return { places: kept, twice };
}

/** Take away what was just written into a text where another one wrote the same there, not knowing of it. */
export function keepOnce(
  source: ISharedText,
  written: readonly IPlace[]
): void {
  const { ysource } = source;
  let places = written.filter(({ text }) => text.trim() !== '');
  if (!ysource || places.length === 0) {
    return;
  }
  const observer: Observer = ({ changes }, { local }) => {
    const { places: kept, twice } = follow(places, changes.delta);
    places = [...kept, ...(local ? twice : [])];
    if (!local && twice.length > 0) {
      // Not while the change is told of.
      queueMicrotask(() => takeAway(source, twice));
    }
  };
  ysource.observe(observer);
  setTimeout(() => ysource.unobserve(observer), INSTANT_MS);
}

function takeAway(source: ISharedText, twice: readonly IPlace[]): void {
  const last = [...twice].sort((a, b) => b.start - a.start);
  // No step to undo: it would be there twice again.
  source.transact(() => {
    for (const { start, text } of last) {
      source.updateSource(start, start + text.length, '');
    }
  }, false);
}

/** A cell of a notebook, as far as one is told from another. */
export interface ICellLike {
  readonly id: string;
  readonly cell_type: string;
  getSource(): string;
}

/** Which of my new cells stand behind the same one of somebody else, who made it in the same instant. */
export function madeTwice(
  cells: readonly ICellLike[],
  mine: ReadonlySet<string>,
  before: ReadonlySet<string>
): string[] {
  const found: string[] = [];
  let others: ICellLike[] = [];
  for (const cell of cells) {
    if (before.has(cell.id)) {
      others = [];
    } else if (!mine.has(cell.id)) {
      others.push(cell);
    } else if (others.some(other => isSame(other, cell))) {
      found.push(cell.id);
    }
  }
  return found;
}

/** Whether two cells say the same. */
export function isSame(
  a: Pick<ICellLike, 'cell_type' | 'getSource'>,
  b: Pick<ICellLike, 'cell_type' | 'getSource'>
): boolean {
  return a.cell_type === b.cell_type && a.getSource() === b.getSource();
}

/** Delete cells within a transaction, of which the list knows nothing until it ends. */
export function deleteCells(
  shared: {
    readonly cells: readonly ICellLike[];
    deleteCell(index: number): void;
  },
  ids: readonly string[]
): void {
  shared.cells
    .flatMap(({ id }, index) => (ids.includes(id) ? index : []))
    .reverse()
    .forEach(index => shared.deleteCell(index));
}

/** Take away new cells where another one made the same, not knowing of them. */
export function keepCellsOnce(
  shared: {
    readonly cells: readonly ICellLike[];
    readonly isDisposed: boolean;
    deleteCell(index: number): void;
    transact(change: () => void, undoable?: boolean): void;
    readonly changed: {
      connect(slot: () => void): unknown;
      disconnect(slot: () => void): unknown;
    };
  },
  mine: ReadonlySet<string>
): void {
  const before = new Set(
    shared.cells.map(({ id }) => id).filter(id => !mine.has(id))
  );
  const takeAway = () => {
    const twice = shared.isDisposed
      ? []
      : madeTwice(shared.cells, mine, before);
    if (twice.length > 0) {
      shared.transact(() => deleteCells(shared, twice), false);
    }
  };
  // Not while the change is told of.
  const look = () => queueMicrotask(takeAway);
  shared.changed.connect(look);
  setTimeout(() => shared.changed.disconnect(look), INSTANT_MS);
}
