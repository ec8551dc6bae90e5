import { Signal } from '@lumino/signaling';
import { describe, expect, it } from 'vitest';

import type { ExperimentsApi } from '../../src/experiments/api';
import {
  firstAxes,
  isInside,
  movedBy
} from '../../src/experiments/compare/brush';
import {
  canBeLog,
  dimensionsOf,
  scaleOf
} from '../../src/experiments/compare/dimensions';
import { filterFor } from '../../src/experiments/compare/filter';
import { CompareModel } from '../../src/experiments/compare/model';
import type { GroupName } from '../../src/experiments/compare/rows';
import { tableOf } from '../../src/experiments/compare/rows';
import type { ExperimentsLive, IWish } from '../../src/experiments/live';
import type { IComparison, IRow } from '../../src/experiments/wire';
import { settled } from '../fakes';

function row(id: string): IRow {
  return {
    id,
    name: id,
    experiment_id: '1',
    status: 'FINISHED',
    stage: 'active',
    start_ms: 1000,
    end_ms: 3000,
    user: 'ana',
    values: {},
    cell: null,
    commit: null,
    dirty: null,
    diverged: false,
    ended: null
  };
}

const COMPARISON: IComparison = {
  runs: [row('a'), row('b'), row('c')],
  params: [
    { key: 'lr', values: ['0.1', '0.01', '0.001'], differs: true },
    { key: 'optimizer', values: ['adam', 'sgd', null], differs: true },
    { key: 'batch', values: ['32', '32', '32'], differs: false }
  ],
  metrics: [
    { key: 'loss', values: [0.5, 0.25, 'NaN'], differs: true },
    { key: 'acc', values: [0.7, 0.9, null], differs: true }
  ],
  tags: [
    { key: 'team', values: ['x', 'y', null], differs: true },
    { key: 'mlflow.user', values: ['ana', 'bo', null], differs: true }
  ],
  packages: [
    { name: 'numpy', values: ['1', '2', '2'], differs: true },
    { name: 'pandas', values: ['1', '1', '1'], differs: false }
  ],
  environment: []
};
const ALL: ReadonlySet<GroupName> = new Set([
  'metrics',
  'params',
  'tags',
  'environment',
  'packages'
] as const);
const OPTIONS = {
  onlyDifferences: true,
  groups: ALL,
  words: '',
  base: 0,
  directions: new Map<string, boolean>()
};

function keysOf(options: Partial<typeof OPTIONS>): string[] {
  return tableOf(COMPARISON, { ...OPTIONS, ...options }).flatMap(({ lines }) =>
    lines.map(({ key }) => key)
  );
}

describe('the table', () => {
  it('shows what differs, without what programs note for each other', () => {
    expect(keysOf({})).toEqual([
      'loss',
      'acc',
      'lr',
      'optimizer',
      'team',
      'numpy'
    ]);
  });

  it('shows the rest when that is wished, and only what is searched', () => {
    expect(keysOf({ onlyDifferences: false })).toContain('batch');
    expect(keysOf({ onlyDifferences: false, words: 'PAND' })).toEqual([
      'pandas'
    ]);
    expect(keysOf({ groups: new Set<GroupName>(['tags']) })).toEqual(['team']);
  });

  it('marks the best value by the way that is the better one', () => {
    const best = (directions: ReadonlyMap<string, boolean>) =>
      tableOf(COMPARISON, {
        ...OPTIONS,
        directions: new Map(directions)
      })[0]!.lines.map(({ cells }) => cells.findIndex(({ isBest }) => isBest));
    expect(best(new Map())).toEqual([1, 1]);
    expect(best(new Map([['loss', false]]))).toEqual([0, 1]);
  });

  it('says how far each value is from the base', () => {
    const [metrics] = tableOf(COMPARISON, { ...OPTIONS, base: 1 });
    const [loss] = metrics!.lines;
    expect(loss!.cells.map(({ by }) => by)).toEqual(['+0.25', null, null]);
    expect(loss!.cells.map(({ text }) => text)).toEqual(['0.5', '0.25', 'NaN']);
    expect(loss!.cells.map(({ isOther }) => isOther)).toEqual([
      true,
      false,
      true
    ]);
  });
});

describe('axes of parallel coordinates', () => {
  const dimensions = dimensionsOf(COMPARISON);
  const find = (id: string) => dimensions.find(one => one.id === id)!;

  it('are numbers where all is one, else categories', () => {
    expect(find('params.lr').isNumeric).toBe(true);
    expect(find('metrics.loss').values).toEqual([0.5, 0.25, null]);
    expect(find('params.optimizer').categories).toEqual(['adam', 'sgd']);
    expect(find('duration').values).toEqual([2, 2, 2]);
  });

  it('begin with what differs', () => {
    expect(firstAxes(dimensions)).toEqual([
      'params.lr',
      'params.optimizer',
      'metrics.loss',
      'metrics.acc'
    ]);
  });

  it('can be logarithmic where all is above zero', () => {
    expect(canBeLog(find('params.lr'))).toBe(true);
    expect(canBeLog(find('params.optimizer'))).toBe(false);
    const scale = scaleOf(find('params.lr'), true);
    expect(scale.at(0.01)).toBeCloseTo(0.5);
    expect(scaleOf(find('params.lr'), false).at(0.01)).toBeLessThan(0.1);
    expect(scale.at(null)).toBeNull();
  });

  it('hold the largest numbers there are', () => {
    const [one] = dimensionsOf({
      ...COMPARISON,
      params: [],
      metrics: [{ key: 'm', values: [-1.7e308, 0, 1.7e308], differs: true }]
    }).filter(({ id }) => id === 'metrics.m');
    const scale = scaleOf(one!, false);
    expect([-1.7e308, 0, 1.7e308].map(scale.at)).toEqual([0, 0.5, 1]);
  });

  it('leave in what is within all brushes', () => {
    const scales = new Map(
      dimensions.map(one => [one.id, scaleOf(one, false)])
    );
    const inside = (brushes: Map<string, readonly [number, number]>) =>
      [0, 1, 2].filter(run => isInside(run, dimensions, scales, brushes));
    expect(inside(new Map())).toEqual([0, 1, 2]);
    expect(inside(new Map([['params.lr', [0.5, 1]]]))).toEqual([0]);
    // What has no place on an axis is not within a part of it.
    expect(inside(new Map([['metrics.loss', [0, 1]]]))).toEqual([0, 1]);
  });

  it('change places', () => {
    expect(movedBy(['a', 'b', 'c'], 'c', -1)).toEqual(['a', 'c', 'b']);
    expect(movedBy(['a', 'b', 'c'], 'a', -1)).toEqual(['a', 'b', 'c']);
    expect(movedBy(['a', 'b', 'c'], 'a', 9)).toEqual(['b', 'c', 'a']);
  });
});

describe('a search for more runs', () => {
  it('holds nothing that would end the text of the filter', () => {
    expect(filterFor(" o'brien%\\ ")).toBe(
      "attributes.run_name ILIKE '%obrien%'"
    );
    expect(filterFor('  ')).toBe('');
  });
});

describe('a comparison', () => {
  function open(runs: readonly string[]) {
    const asked: (readonly string[])[] = [];
    const wishes: (IWish | null)[] = [];
    const live = {} as Record<string, unknown>;
    Object.assign(live, {
      points: new Signal(live),
      runs: new Signal(live),
      resync: new Signal(live),
      watch: (_: unknown, wish: IWish | null) => wishes.push(wish)
    });
    const api = {
      compare: async (ids: readonly string[]) => {
        asked.push(ids);
        return { ...COMPARISON, runs: ids.map(row) };
      },
      curves: async () => []
    };
    const model = new CompareModel(
      api as unknown as ExperimentsApi,
      live as unknown as ExperimentsLive,
      runs
    );
    return { model, asked, wishes };
  }

  it('asks when it is seen, and hears of its runs only then', async () => {
    const { model, asked, wishes } = open(['a', 'b']);
    await settled();
    expect(asked).toEqual([]);
    model.isVisible = true;
    await settled();
    expect(asked).toEqual([['a', 'b']]);
    expect(wishes.at(-1)).toEqual({ runs: ['a', 'b'], experiments: ['1'] });
    model.isVisible = false;
    expect(wishes.at(-1)).toBeNull();
  });

  it('keeps the colours of its runs as others come and go', async () => {
    const { model } = open(['a', 'b', 'c']);
    model.remove('a');
    expect(model.lookOf('b')).toBe(1);
    expect(model.base).toBe('b');
    model.add(['d', 'b']);
    expect(model.runs).toEqual(['b', 'c', 'd']);
    expect(model.lookOf('d')).toBe(0);
    expect(model.lookOf('c')).toBe(2);
  });

  it('takes fifty runs at most', () => {
    const { model } = open(['a']);
    model.add(Array.from({ length: 80 }, (_, index) => `r${index}`));
    expect(model.runs).toHaveLength(50);
  });
});
