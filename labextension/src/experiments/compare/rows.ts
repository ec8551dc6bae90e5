import {
  bestOf,
  difference,
  exactValue,
  formatValue,
  isSmallerBetter
} from '../plot/numbers';
import { isOwnTag } from '../run/keys';
import type { IComparison, Value } from '../wire';

export type GroupName =
  'metrics' | 'params' | 'tags' | 'environment' | 'packages';

/** A cell of the table. */
export interface ICell {
  readonly text: string;
  /** The whole of it. */
  readonly title: string;
  readonly isBest: boolean;
  /** It is not what the base has. */
  readonly isOther: boolean;
  /** By how much, where that can be said. */
  readonly by: string | null;
}

export interface ILineOfTable {
  readonly key: string;
  readonly cells: readonly ICell[];
  readonly differs: boolean;
  /** Of a metric: whether less is better; null of others. */
  readonly isSmaller: boolean | null;
}

export interface IGroup {
  readonly name: GroupName;
  readonly lines: readonly ILineOfTable[];
  /** How many there are, also those in which the runs are alike. */
  readonly total: number;
}

export interface ITableOptions {
  readonly onlyDifferences: boolean;
  readonly groups: ReadonlySet<GroupName>;
  readonly words: string;
  /** Of the base among the runs; -1 for none. */
  readonly base: number;
  /** Metrics of which it was said which way is the better one. */
  readonly directions: ReadonlyMap<string, boolean>;
}

/** A comparison as a table: groups of lines, of those that are wished. */
export function tableOf(
  comparison: IComparison,
  options: ITableOptions
): readonly IGroup[] {
  const { environment, metrics, packages, params, tags } = comparison;
  const texts = (
    lines: readonly {
      readonly key: string;
      readonly values: readonly (string | null)[];
      readonly differs: boolean;
    }[]
  ) => lines.map(line => textLine(line, options.base));
  const all: readonly IGroup[] = [
    group(
      'metrics',
      metrics.map(line => metricLine(line, options))
    ),
    group('params', texts(params)),
    group('tags', texts(tags.filter(({ key }) => isOwnTag(key)))),
    group('environment', texts(environment)),
    group(
      'packages',
      texts(packages.map(({ name, ...rest }) => ({ key: name, ...rest })))
    )
  ];
  const wanted = options.words.trim().toLowerCase();
  return all
    .filter(({ name }) => options.groups.has(name))
    .map(({ lines, ...rest }) => ({
      ...rest,
      lines: lines.filter(
        ({ differs, key }) =>
          (differs || !options.onlyDifferences) &&
          key.toLowerCase().includes(wanted)
      )
    }));
}

function group(name: GroupName, lines: readonly ILineOfTable[]): IGroup {
  return { name, lines, total: lines.length };
}

function metricLine(
  line: {
    readonly key: string;
    readonly values: readonly (Value | null)[];
    readonly differs: boolean;
  },
  { base, directions }: ITableOptions
): ILineOfTable {
  const { key, values, differs } = line;
  const isSmaller = directions.get(key) ?? isSmallerBetter(key);
  const best = bestOf(values, isSmaller);
  const first = values[base] ?? null;
  return {
    key,
    differs,
    isSmaller,
    cells: values.map((value, index) => ({
      text: formatValue(value),
      title: exactValue(value),
      isBest: best.has(index),
      isOther: index !== base && base >= 0 && value !== first,
      by: index === base ? null : difference(value, first)
    }))
  };
}

function textLine(
  line: {
    readonly key: string;
    readonly values: readonly (string | null)[];
    readonly differs: boolean;
  },
  base: number
): ILineOfTable {
  const { key, values, differs } = line;
  return {
    key,
    differs,
    isSmaller: null,
    cells: values.map((value, index) => ({
      text: value === null ? '–' : value.slice(0, 300),
      title: value ?? '',
      isBest: false,
      isOther: index !== base && base >= 0 && value !== values[base],
      by: null
    }))
  };
}
