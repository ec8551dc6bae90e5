import type { Value } from '../wire';

const WORDS = { NaN: 'NaN', Infinity: '∞', '-Infinity': '−∞' };

/** A metric's value in few digits: `0.8612`, `123,456`, `1.2e-7`, `1e300`, `NaN`, `∞`; a dash for none. */
export function formatValue(value: Value | null | undefined): string {
  if (value === null || value === undefined) {
    return '–';
  }
  if (typeof value === 'string') {
    return WORDS[value] ?? value;
  }
  if (!Number.isFinite(value)) {
    return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '−∞';
  }
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) {
    return value.toExponential(3).replace(/\.?0*e\+?/, 'e');
  }
  if (Number.isInteger(value) || size >= 1e5) {
    return Math.round(value).toLocaleString('en');
  }
  return String(Number(value.toPrecision(5)));
}

/** All of a value's digits, for the tooltip. */
export function exactValue(value: Value | null | undefined): string {
  return value === null || value === undefined ? '' : String(value);
}

/** By how much a value differs from another: `+0.012`; nothing where that cannot be said. */
export function difference(
  value: Value | null,
  base: Value | null
): string | null {
  if (typeof value !== 'number' || typeof base !== 'number') {
    return null;
  }
  const by = value - base;
  if (by === 0 || !Number.isFinite(by)) {
    return by === 0 ? '=' : null;
  }
  return `${by > 0 ? '+' : '−'}${formatValue(Number(Math.abs(by).toPrecision(3)))}`;
}

/** The number that a value stands for; null where it is not finite. */
export function finite(
  value: Value | string | null | undefined
): number | null {
  if (value === null || value === undefined || value === '') {
    return null;
  }
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

const SMALLER = new RegExp(
  '(^|[^a-z])(' +
    'loss|losses|err|error|errors|cost|mse|rmse|mae|mape|msle|nll|ppl|perplexity|bpb|wer|cer|fid|' +
    'latency|time|seconds|duration|regret|divergence|kl|logloss|distance' +
    ')s?([^a-z]|$)',
  'i'
);

/** Whether a smaller value of this metric is a better one, as far as its name tells. */
export function isSmallerBetter(metric: string): boolean {
  return SMALLER.test(metric.replace(/([a-z])([A-Z])/g, '$1 $2'));
}

/** Which values are the best ones; none where all are the same or only one has any. */
export function bestOf(
  values: readonly (Value | null)[],
  isSmaller: boolean
): ReadonlySet<number> {
  const numbers = values.map(finite);
  const known = numbers.filter((one): one is number => one !== null);
  const best = isSmaller ? Math.min(...known) : Math.max(...known);
  if (known.length < 2 || known.every(one => one === best)) {
    return new Set();
  }
  return new Set(
    numbers.flatMap((one, index) => (one === best ? [index] : []))
  );
}

/** A span of time in ms on an axis: `0`, `250ms`, `1.5s`, `2:05`, `1:02:05`, `3d 2h`. */
export function formatSpan(ms: number): string {
  const sign = ms < 0 ? '−' : '';
  const size = Math.abs(ms);
  if (size < 1000) {
    return size === 0 ? '0' : `${sign}${Number(size.toPrecision(3))}ms`;
  }
  const s = size / 1000;
  if (s < 60) {
    return `${sign}${Number(s.toPrecision(3))}s`;
  }
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0');
  const [h, min] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  if (h >= 48) {
    return `${sign}${Math.floor(h / 24)}d ${h % 24}h`;
  }
  return h > 0
    ? `${sign}${h}:${two(min)}:${two(s % 60)}`
    : `${sign}${min}:${two(s % 60)}`;
}

/** A step in few digits: `950`, `12k`, `1.5M`. */
export function formatStep(step: number): string {
  const size = Math.abs(step);
  if (size < 10_000) {
    return String(Number(step.toPrecision(6)));
  }
  const [by, unit] =
    size >= 1e9 ? [1e9, 'G'] : size >= 1e6 ? [1e6, 'M'] : [1e3, 'k'];
  return `${Number((step / by).toPrecision(5))}${unit}`;
}
