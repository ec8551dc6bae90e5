/** The largest number whose span with its opposite can be told. */
const LARGEST = 8e307;

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Distances between the marks of a span of time. */
export const SPANS: number[] = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map(one => one * SECOND),
  ...[1, 2, 5, 10, 15, 30].map(one => one * MINUTE),
  ...[1, 2, 3, 6, 12].map(one => one * HOUR),
  ...[1, 2, 7, 14, 30, 90, 365].map(one => one * DAY)
];

/** Round numbers between two others, about `count` of them; right also for 1e300. */
export function marks(from: number, to: number, count: number): number[] {
  const span = to - from;
  if (!(span > 0) || !Number.isFinite(span)) {
    return [from];
  }
  const rough = span / Math.max(1, count);
  const power = Math.pow(10, Math.floor(Math.log10(rough)));
  const step =
    power * ([1, 2, 5].find(one => one * power >= rough * 0.75) ?? 10);
  const first = Math.ceil(from / step);
  const last = Math.floor(to / step + 1e-9);
  const found: number[] = [];
  for (let at = first; at <= last && found.length < 100; at++) {
    // By way of the text, so that 3 × 0.1 is 0.3.
    found.push(Number((at * step).toPrecision(12)));
  }
  return found;
}

/** Powers of ten between two numbers, at most about `count` of them; where there are few, 2 and 5 times them too. */
export function powers(from: number, to: number, count: number): number[] {
  const [low, high] = [Math.floor(Math.log10(from)), Math.ceil(Math.log10(to))];
  const every = Math.max(1, Math.ceil((high - low) / Math.max(1, count)));
  const inside = (value: number) => value >= from && value <= to;
  const found: number[] = [];
  for (let at = low; at <= high; at += every) {
    found.push(Number(`1e${at}`));
  }
  const between =
    every === 1 && found.filter(inside).length < 3
      ? found.flatMap(one => [one, 2 * one, 5 * one])
      : found;
  return between.filter(inside);
}

/** The numbers between which an axis runs: a little more than its values. */
export function padded(
  min: number | null,
  max: number | null,
  isLog: boolean
): [number, number] {
  if (min === null || max === null) {
    return isLog ? [0.1, 1] : [0, 1];
  }
  if (isLog) {
    const by = Math.pow(max / min, 0.05) || 1;
    return by > 1.0001 ? [min / by, max * by] : [min / 2, max * 2];
  }
  const [low, high] = [Math.max(min, -LARGEST), Math.min(max, LARGEST)];
  const span = high - low;
  const by = span > 0 ? span * 0.05 : Math.abs(high) * 0.1 || 0.5;
  return [Math.max(low - by, -LARGEST), Math.min(high + by, LARGEST)];
}

/** The values between which nearly all are: what a few outliers would hide. */
export function withoutOutliers(
  values: readonly number[]
): [number, number] | null {
  if (values.length === 0) {
    return null;
  }
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) =>
    sorted[Math.round(share * (sorted.length - 1))]!;
  return [at(0.02), at(0.98)];
}
