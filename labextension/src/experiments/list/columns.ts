import type { TranslationBundle } from '@jupyterlab/translation';

import type { IKeys } from '../wire';

/** What is known of every run, beside its name, which always comes first. */
export const FACTS = [
  'when',
  'duration',
  'status',
  'user',
  'cell',
  'commit',
  'id'
] as const;

export type Fact = (typeof FACTS)[number];

/** A column of the list: a fact, or "metrics.loss", "params.lr", "tags.x". */
export interface IColumn {
  readonly key: string;
  readonly width?: number;
  /** It stays at the left when the rest is moved. */
  readonly isPinned?: boolean;
}

/** The name's own key. */
export const NAME = 'name';
export const LEAST_WIDTH = 40;
export const MOST_WIDTH = 800;
/** More of them cannot be told apart, and make each row costly. */
export const MOST_COLUMNS = 40;

export interface ISort {
  readonly key: string;
  readonly isDescending: boolean;
}

const ORDERS: Readonly<Record<string, string>> = {
  name: 'attributes.run_name',
  when: 'attributes.start_time',
  duration: 'attributes.duration',
  status: 'attributes.status',
  user: 'attributes.user_id',
  id: 'attributes.run_id'
};

export type Kind = 'metrics' | 'params' | 'tags';

/** What kind of column it is, and of which metric, parameter or tag; the kind of a fact is `fact`. */
export function split(
  key: string
): readonly ['fact', string] | readonly [Kind, string] {
  const [, kind, name] = /^(metrics|params|tags)\.(.*)$/s.exec(key) ?? [];
  return kind ? [kind as Kind, name!] : ['fact', key];
}

export function isMetric(key: string): boolean {
  return key.startsWith('metrics.');
}

/** A key as it stands in MLflow's search syntax. */
export function quoted(key: string): string {
  const [kind, name] = split(key);
  if (kind === 'fact') {
    return ORDERS[name] ?? name;
  }
  if (/^[A-Za-z_]\w*$/.test(name)) {
    return `${kind}.${name}`;
  }
  return name.includes('`') ? `${kind}."${name}"` : `${kind}.\`${name}\``;
}

/** Whether the list can be in this column's order. */
export function canSort(key: string): boolean {
  return key in ORDERS || split(key)[0] !== 'fact';
}

/** The order as MLflow says it; what is equal comes newest first. */
export function orderBy(sort: ISort | null): readonly string[] {
  if (!sort) {
    return ['attributes.start_time DESC'];
  }
  const { key, isDescending } = sort;
  return [`${quoted(key)} ${isDescending ? 'DESC' : 'ASC'}`];
}

export function columnName(key: string, trans: TranslationBundle): string {
  const [kind, name] = split(key);
  return kind === 'fact' ? factName(name, trans) : name;
}

function factName(name: string, trans: TranslationBundle): string {
  switch (name) {
    case 'name':
      return trans.__('run');
    case 'when':
      return trans.__('when');
    case 'duration':
      return trans.__('duration');
    case 'status':
      return trans.__('state');
    case 'user':
      return trans.__('user');
    case 'cell':
      return trans.__('cell');
    case 'commit':
      return trans.__('commit');
    case 'id':
      return trans.__('id');
  }
  return name;
}

/** What kind of thing a column shows, for its tooltip. */
export function columnTitle(key: string, trans: TranslationBundle): string {
  const [kind, name] = split(key);
  switch (kind) {
    case 'metrics':
      return trans.__('Metric %1', name);
    case 'params':
      return trans.__('Parameter %1', name);
    case 'tags':
      return trans.__('Tag %1', name);
    case 'fact':
      return columnName(key, trans);
  }
}

/** How wide a column is where nobody made it another width. */
export function usualWidth(
  key: string,
  isNarrow: boolean,
  hasCurve = false
): number {
  switch (key) {
    case NAME:
      return isNarrow ? 92 : 190;
    case 'when':
      return isNarrow ? 50 : 72;
    case 'duration':
      return 72;
    case 'status':
      return 80;
    case 'cell':
      return 150;
    case 'commit':
      return 76;
    case 'id':
    case 'user':
      return 90;
  }
  return isMetric(key) ? (isNarrow ? 60 : 76) + (hasCurve ? 32 : 0) : 96;
}

/** The columns to begin with: the metrics and parameters that say most, as far as there is room. */
export function usualColumns(
  keys: IKeys | null,
  isNarrow: boolean
): readonly IColumn[] {
  const most = Math.max(0, ...(keys?.metrics ?? []).map(({ runs }) => runs));
  const metrics = (keys?.metrics ?? [])
    // One of a few runs only says little of the others.
    .filter(({ runs }) => runs * 4 >= most)
    .map(({ key }, index) => [relevance(key) - index / 1000, key] as const)
    .sort(([a], [b]) => b - a)
    .slice(0, isNarrow ? 2 : 4)
    .map(([, key]) => ({ key: `metrics.${key}` }));
  const params = (keys?.params ?? [])
    .filter(({ values }) => values.length > 1)
    .slice(0, isNarrow ? 0 : 3)
    .map(({ key }) => ({ key: `params.${key}` }));
  const facts: Fact[] = isNarrow ? ['when'] : ['when', 'duration', 'cell'];
  return [...metrics, ...params, ...facts.map(key => ({ key }))];
}

/** How much a metric says of a run, by its name. */
function relevance(key: string): number {
  let points = 0;
  if (/(^|[/_.\s-])(val|valid|validation|test|eval|dev)/i.test(key)) {
    points += 2;
  }
  if (
    /(acc|f1|auc|r2|score|loss|rmse|mae|mse|err|bleu|rouge|ppl|iou|map)/i.test(
      key
    )
  ) {
    points += 2;
  }
  if (/^system\//.test(key)) {
    points -= 10;
  }
  if (/(^|[/_])(epoch|step|lr|learning_rate|time|duration)$/i.test(key)) {
    points -= 2;
  }
  return points;
}
