import type { Axis, ICurve } from '../wire';
import type { ISmoothing } from './smoothing';
import { smooth } from './smoothing';

/** One line of a chart. */
export interface ILine {
  /** Of the run. */
  readonly key: string;
  readonly label: string;
  /** Decides its colour and dashes. */
  readonly index: number;
  readonly x: readonly number[];
  /** As drawn: smoothed where that is wished. */
  readonly y: readonly (number | null)[];
  /** As logged, where it is smoothed. */
  readonly raw: readonly (number | null)[] | null;
  /** Between which values the points lie that each one stands for; null where each stands for itself. */
  readonly min: readonly (number | null)[] | null;
  readonly max: readonly (number | null)[] | null;
  /** Where it is not a finite number. */
  readonly bad: readonly number[];
  readonly step: readonly number[];
  readonly time_ms: readonly number[];
  readonly total: number;
}

export interface IChartOptions {
  readonly axis: Axis;
  readonly isLog: boolean;
  readonly smoothing: ISmoothing;
  readonly showsEnvelope: boolean;
  readonly ignoresOutliers: boolean;
}

/** Who a line belongs to. */
export interface ISeriesName {
  readonly key: string;
  readonly label: string;
  readonly index: number;
}

/** What is drawn of curves; `from` is where a log scale begins. */
export function linesOf(
  curves: readonly ICurve[],
  names: readonly ISeriesName[],
  options: IChartOptions
): ILine[] {
  const { isLog, showsEnvelope, smoothing } = options;
  const ends = curves.flatMap(({ x }) => [x[0] ?? 0, x[x.length - 1] ?? 0]);
  const range = Math.max(...ends) - Math.min(...ends);
  const shown = (values: readonly (number | null)[]) =>
    isLog ? values.map(one => (one !== null && one > 0 ? one : null)) : values;
  return names.flatMap(name => {
    const curve = curves.find(({ run }) => run === name.key);
    if (!curve || curve.x.length === 0) {
      return [];
    }
    const { x, y, min, max, step, time_ms, total } = curve;
    const isSmoothed = smoothing.weight > 0;
    const isThin = total > x.length && showsEnvelope;
    return {
      ...name,
      x,
      y: shown(isSmoothed ? smooth(x, y, smoothing, range) : y),
      raw: isSmoothed ? shown(y) : null,
      min: isThin ? shown(min) : null,
      max: isThin ? shown(max) : null,
      bad: x.filter((_, index) => y[index] === null),
      step,
      time_ms,
      total
    };
  });
}

/** The place in a sorted list that is nearest to `x`; -1 in an empty one. */
export function nearest(sorted: readonly number[], x: number): number {
  let [low, high] = [0, sorted.length - 1];
  if (high < 0) {
    return -1;
  }
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! <= x) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return x - sorted[low]! <= sorted[high]! - x ? low : high;
}

type Column = (number | null | undefined)[];

/** Lines with x values of their own as columns over one list of them; `undefined` where a line has no point. */
export function aligned(lines: readonly ILine[]): {
  readonly x: number[];
  /** For each line: y, raw, min, max, as far as it has them. */
  readonly columns: Column[];
} {
  const first = lines[0];
  if (first && lines.every(({ x }) => isSame(x, first.x))) {
    return { x: [...first.x], columns: lines.flatMap(columnsOf) };
  }
  const x = [...new Set(lines.flatMap(line => line.x))].sort((a, b) => a - b);
  const at = new Map(x.map((value, index) => [value, index]));
  const columns = lines.flatMap(line =>
    columnsOf(line).map(values => {
      const column: Column = new Array(x.length).fill(undefined);
      line.x.forEach((value, index) => {
        column[at.get(value)!] = values[index];
      });
      return column;
    })
  );
  return { x, columns };
}

function columnsOf({ y, raw, min, max }: ILine): Column[] {
  return [y, raw, min, max].flatMap(one => (one ? [one as Column] : []));
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return (
    a === b ||
    (a.length === b.length && a.every((value, index) => value === b[index]))
  );
}
