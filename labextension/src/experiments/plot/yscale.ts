import { formatValue } from './numbers';
import type { ILine } from './lines';
import { marks, padded, powers, withoutOutliers } from './ticks';

/** Beyond this, or with a span below that, numbers are moved to a size that can be drawn. */
const LARGE = 1e12;
const NARROW = 1e-6;

/** How values are drawn: as they are, moved to a size that can be drawn, or by their logarithm. */
export interface IYScale {
  readonly isLog: boolean;
  /** Where a value is on the axis. */
  readonly to: (value: number) => number;
  readonly from: (place: number) => number;
}

export function yScaleOf(lines: readonly ILine[], isLog: boolean): IYScale {
  if (isLog) {
    return { isLog, to: Math.log10, from: place => Math.pow(10, place) };
  }
  let [min, max] = [Infinity, -Infinity];
  for (const { y, raw, min: low, max: high } of lines) {
    for (const values of [y, raw, low, high]) {
      for (const value of values ?? []) {
        if (value !== null) {
          min = Math.min(min, value);
          max = Math.max(max, value);
        }
      }
    }
  }
  const span = max - min;
  const largest = Math.max(Math.abs(min), Math.abs(max));
  if (min > max || (largest < LARGE && (span === 0 || span > NARROW))) {
    return { isLog, to: value => value, from: place => place };
  }
  const isWide = !Number.isFinite(span);
  const offset = isWide || span === 0 ? 0 : min;
  const factor = (isWide || span === 0 ? largest : span) / 1000 || 1;
  return {
    isLog,
    to: value => (value - offset) / factor,
    from: place => place * factor + offset
  };
}

/** Where an axis has its marks, and what they say. */
export function yMarks(
  scale: IYScale,
  from: number,
  to: number,
  count: number
): number[] {
  const found = scale.isLog
    ? powers(scale.from(from), scale.from(to), count)
    : marks(scale.from(from), scale.from(to), count);
  // Within less than a power of ten there may be no round number.
  return found.length < 2
    ? marks(from, to, count)
    : found.map(value => scale.to(value));
}

export function yLabels(scale: IYScale, places: readonly number[]): string[] {
  return places.map(place =>
    formatValue(Number(scale.from(place).toPrecision(6)))
  );
}

/** Between which places the axis runs. */
export function yRange(
  scale: IYScale,
  min: number | null,
  max: number | null,
  lines: readonly ILine[] | null,
  range: readonly [number, number] | null
): [number, number] {
  const usual = lines && withoutOutliers(visible(lines, range).map(scale.to));
  const [low, high] = usual ?? [min, max];
  // On a log scale the places are logarithms already.
  return padded(low, high, false);
}

function visible(
  lines: readonly ILine[],
  range: readonly [number, number] | null
): number[] {
  return lines.flatMap(({ x, y }) =>
    y.filter((value, index): value is number => {
      const at = x[index]!;
      return value !== null && (!range || (at >= range[0] && at <= range[1]));
    })
  );
}
