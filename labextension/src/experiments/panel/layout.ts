import type { IColumn } from '../list/columns';
import { NAME, isMetric, split } from '../list/columns';
import type { RunsView } from '../list/view';

/** A column with its place in the list. */
export interface IPlaced {
  readonly key: string;
  readonly width: number;
  /** From where on it stays; null for one that moves with the rest. */
  readonly left: number | null;
  readonly isNumber: boolean;
  /** Whether a small curve stands beside each number. */
  readonly hasCurve: boolean;
}

/** Where the columns of a list stand. */
export interface ILayout {
  readonly columns: readonly IPlaced[];
  readonly width: number;
  /** For CSS: the widths one after the other. */
  readonly template: string;
}

/** From how many pixels on a small curve stands beside a number. */
const ROOM_FOR_CURVE = 80;
const NUMBERS: readonly string[] = ['when', 'duration'];

/** The name first, then what is pinned as long as there is room for the rest, then the rest. */
export function layoutOf(view: RunsView, room: number): ILayout {
  const pinned = view.look.columns.filter(({ isPinned }) => isPinned);
  const rest = view.look.columns.filter(({ isPinned }) => !isPinned);
  const columns: IPlaced[] = [];
  const hasCurve = ({ key }: IColumn) =>
    isMetric(key) && view.sparks.hasCurves(split(key)[1]);
  let left = 0;
  const add = (
    { key, width }: { key: string; width: number },
    stays: boolean
  ) => {
    const isNumber = isMetric(key) || NUMBERS.includes(key);
    columns.push({
      ...{ key, width, left: stays ? left : null, isNumber },
      hasCurve: hasCurve({ key }) && width >= ROOM_FOR_CURVE
    });
    left += width;
  };
  add({ key: NAME, width: view.look.nameWidth }, true);
  const place = (column: IColumn) => ({
    key: column.key,
    width: view.look.width(column, hasCurve(column))
  });
  for (const column of pinned) {
    const placed = place(column);
    add(placed, left + placed.width <= room * 0.7);
  }
  rest.forEach(column => add(place(column), false));
  // What is left over goes to the name: nothing is cut off beside an empty space.
  const over = room - left;
  if (over > 0) {
    const [name] = columns;
    const grown = Math.min(over, Math.max(0, 420 - name!.width));
    columns[0] = { ...name!, width: name!.width + grown };
    for (let at = 1; at < columns.length; at++) {
      const one = columns[at]!;
      columns[at] = {
        ...one,
        left: one.left === null ? null : one.left + grown
      };
    }
    left += grown;
  }
  return {
    columns,
    width: left,
    template: columns.map(({ width }) => `${width}px`).join(' ')
  };
}
