import { finite, formatValue } from '../plot/numbers';
import type { IComparison, Value } from '../wire';

/** Something in which runs may differ. */
export interface IDimension {
  /** `metrics.loss`, `params.lr` */
  readonly id: string;
  readonly label: string;
  /** In the order of the runs: numbers where all of them are, else texts. */
  readonly values: readonly (number | string | null)[];
  readonly isNumeric: boolean;
  /** Of texts: each once, in order. */
  readonly categories: readonly string[];
  readonly differs: boolean;
}

/** What of a comparison can be an axis: metrics, parameters, and how long it took. */
export function dimensionsOf(comparison: IComparison): readonly IDimension[] {
  const { metrics, params, runs } = comparison;
  const took = runs.map(({ start_ms, end_ms }) =>
    end_ms === null || start_ms === null ? null : (end_ms - start_ms) / 1000
  );
  const all = [
    ...params.map(({ key, values, differs }) =>
      dimension(`params.${key}`, key, values, differs)
    ),
    dimension('duration', 'duration (s)', took, true),
    ...metrics.map(({ key, values, differs }) =>
      dimension(`metrics.${key}`, key, values, differs)
    )
  ];
  return all.filter(({ values }) => values.some(one => one !== null));
}

function dimension(
  id: string,
  label: string,
  said: readonly (Value | string | null)[],
  differs: boolean
): IDimension {
  const numbers = said.map(finite);
  const isText = (one: Value | string | null, index: number) =>
    one !== null &&
    numbers[index] === null &&
    !['NaN', 'Infinity', '-Infinity'].includes(String(one));
  // A metric is a number also where it is none; a parameter is one where all of it can be read as such.
  const isNumeric =
    !said.some(isText) && numbers.some(number => number !== null);
  const values = isNumeric
    ? numbers
    : said.map(one => (one === null ? null : String(one)));
  const texts = isNumeric
    ? []
    : [...new Set(values.filter((one): one is string => one !== null))];
  return {
    id,
    label,
    values,
    isNumeric,
    categories: texts.sort((a, b) =>
      a.localeCompare(b, undefined, { numeric: true })
    ),
    differs
  };
}

/** Where values lie on an axis. */
export interface IScale {
  /** Of 0 to 1; null for what has no place. */
  readonly at: (value: number | string | null) => number | null;
  /** What is written beside the axis, and where. */
  readonly ticks: readonly (readonly [number, string])[];
  readonly isLog: boolean;
}

const MOST_TICKS = 12;

export function scaleOf(one: IDimension, wantsLog: boolean): IScale {
  return one.isNumeric ? numeric(one, wantsLog) : categorical(one);
}

/** Whether a log scale would show all of it. */
export function canBeLog({ isNumeric, values }: IDimension): boolean {
  return isNumeric && values.every(one => one === null || (one as number) > 0);
}

function numeric(one: IDimension, wantsLog: boolean): IScale {
  const isLog = wantsLog && canBeLog(one);
  const to = (value: number) => (isLog ? Math.log10(value) : value);
  const known = one.values.filter((v): v is number => typeof v === 'number');
  // Halved, so that the span of the largest numbers can be told.
  const [min, max] = [
    Math.min(...known.map(to)) / 2,
    Math.max(...known.map(to)) / 2
  ];
  const span = max - min;
  const back = (share: number) => {
    const place = (min + share * span) * 2;
    return isLog ? Math.pow(10, place) : place;
  };
  const shares = span > 0 ? [0, 0.25, 0.5, 0.75, 1] : [0.5];
  return {
    isLog,
    at: value =>
      typeof value !== 'number'
        ? null
        : span > 0
          ? (to(value) / 2 - min) / span
          : 0.5,
    ticks: shares.map(
      share => [share, formatValue(Number(back(share).toPrecision(4)))] as const
    )
  };
}

function categorical({ categories }: IDimension): IScale {
  const place = (index: number) =>
    categories.length > 1 ? index / (categories.length - 1) : 0.5;
  const every = Math.ceil(categories.length / MOST_TICKS);
  return {
    isLog: false,
    at: value => {
      const index = categories.indexOf(String(value));
      return value === null || index < 0 ? null : place(index);
    },
    ticks: categories.flatMap((name, index) =>
      index % every === 0 ? [[place(index), name] as const] : []
    )
  };
}

/** A value in words. */
export function told(value: number | string | null): string {
  return typeof value === 'number' ? formatValue(value) : (value ?? '–');
}
