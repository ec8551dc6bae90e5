import { nullTranslator } from '@jupyterlab/translation';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import {
  canSort,
  orderBy,
  quoted,
  usualColumns
} from '../../src/experiments/list/columns';
import { Selection } from '../../src/experiments/list/selection';
import { PAGE, RunWindow } from '../../src/experiments/list/window';
import type { IRow, IRunPage } from '../../src/experiments/wire';
import {
  clockText,
  metricText,
  stateOf,
  stateTitle
} from '../../src/experiments/wording';
import { row, settle } from './fakes';

const trans = nullTranslator.load('aidp_ext');

describe('a long list', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  /** A list over a store of runs, newest first. */
  function setup(count: number) {
    const store = {
      ids: Array.from({ length: count }, (_, n) => `r${count - n}`),
      asked: [] as string[],
      fails: false
    };
    const list = new RunWindow(async (offset, limit) => {
      store.asked.push(`${offset}+${limit}`);
      if (store.fails) {
        throw new Error('no');
      }
      const runs = store.ids
        .slice(offset, offset + limit)
        .map(id => row({ id }));
      return { runs, total: store.ids.length, version: '1' } as IRunPage;
    });
    return { list, store };
  }

  it('asks only for what is looked at', async () => {
    const { list, store } = setup(100_000);
    list.restart();
    await settle();
    expect(list.total).toBe(100_000);
    list.need(50_000, 50_040);
    await settle();
    expect(store.asked).toEqual([`0+${PAGE}`, `50000+${PAGE}`]);
    expect(list.row(50_010)?.id).toBe('r49990');
    expect(list.row(20_000)).toBeNull();
  });

  it('does not ask for what was passed while the answers were on their way', async () => {
    const { list, store } = setup(100_000);
    list.restart();
    await settle();
    for (let at = 1_000; at <= 90_000; at += 1_000) {
      list.need(at, at + 40);
    }
    await settle();
    expect(store.asked.length).toBeLessThan(6);
    expect(list.row(90_000)?.id).toBe('r10000');
  });

  it('forgets what is far from what is looked at', async () => {
    const { list } = setup(100_000);
    list.restart();
    await settle();
    for (let at = 0; at < 80; at++) {
      list.need(at * PAGE, at * PAGE + 10);
      await settle();
    }
    expect(list.row(0)).toBeNull();
    expect(list.row(79 * PAGE)).not.toBeNull();
    expect(list.known.length).toBe(60 * PAGE);
  });

  it('lets new runs wait while it is read, and keeps the places of the others', async () => {
    const { list, store } = setup(300);
    list.restart();
    await settle();
    list.hold(true);
    store.ids.unshift('new2', 'new1');
    list.hear([row({ id: 'new1' }), row({ id: 'new2' })], [], false);
    await settle(2_000);
    expect(list.waiting).toBe(2);
    expect(list.row(0)?.id).toBe('r300');
    list.need(100, 120);
    await settle();
    expect(list.row(100)?.id).toBe('r200');
    list.release();
    await settle();
    expect([list.waiting, list.row(0)?.id]).toEqual([0, 'new2']);
  });

  it('lets them in at once where nobody reads it', async () => {
    const { list, store } = setup(3);
    list.restart();
    await settle();
    store.ids.unshift('new');
    list.hear([row({ id: 'new' })], [], false);
    await settle(2_000);
    expect(list.row(0)?.id).toBe('new');
  });

  it('brings a row up to date in its place, and keeps the columns that the news do not have', async () => {
    const { list } = setup(3);
    list.restart();
    await settle();
    list.hear([row({ id: 'r2', values: { 'metrics.a': 1 } })], [], false);
    list.hear(
      [row({ id: 'r2', status: 'FINISHED', values: { 'metrics.b': 'NaN' } })],
      [],
      false
    );
    expect(list.row(1)).toMatchObject({
      status: 'FINISHED',
      values: { 'metrics.a': 1, 'metrics.b': 'NaN' }
    });
  });

  it('marks a run that is gone while it is read, and takes it away after', async () => {
    const { list, store } = setup(3);
    list.restart();
    await settle();
    list.hold(true);
    store.ids.splice(1, 1);
    list.hear([], ['r2'], false);
    await settle(2_000);
    expect(list.isGone('r2')).toBe(true);
    expect(list.indexOf('r2')).toBe(1);
    list.hold(false);
    await settle();
    expect(list.indexOf('r2')).toBe(-1);
    expect(list.total).toBe(2);
  });

  it('says why there is no answer, and is as it was', async () => {
    const { list, store } = setup(3);
    list.restart();
    await settle();
    store.fails = true;
    await list.refresh();
    expect(list.error?.message).toMatch(/no/);
    expect(list.total).toBe(3);
    store.fails = false;
    await list.refresh();
    expect(list.error).toBeNull();
  });

  it('selects ranges over parts that were never looked at', async () => {
    const { list } = setup(1_000);
    list.restart();
    await settle();
    const selection = new Selection(list);
    selection.toggle(5);
    selection.move(254, true);
    await settle();
    expect(selection.size).toBe(250);
    expect(selection.has('r746')).toBe(true);
    selection.move(4, true);
    await settle();
    expect(selection.ids).toEqual(['r996', 'r995']);
  });

  it('is about the run that the keyboard is at where none is selected', async () => {
    const { list } = setup(3);
    list.restart();
    await settle();
    const selection = new Selection(list);
    selection.move(1);
    expect(selection.chosen.map(({ id }) => id)).toEqual(['r2']);
    selection.move(99);
    expect(selection.active).toBe(2);
  });
});

describe('columns', () => {
  it('are quoted as far as they need it', () => {
    expect(quoted('metrics.loss')).toBe('metrics.loss');
    expect(quoted('metrics.val/loss')).toBe('metrics.`val/loss`');
    expect(quoted('params.a`b 🚀')).toBe('params."a`b 🚀"');
  });

  it('make the order of the list', () => {
    expect(orderBy(null)).toEqual(['attributes.start_time DESC']);
    expect(orderBy({ key: 'metrics.a b', isDescending: true })).toEqual([
      'metrics.`a b` DESC'
    ]);
    expect(canSort('cell')).toBe(false);
  });

  it('begin with the metrics that say most', () => {
    const metric = (key: string, runs = 10) => ({ key, runs, min: 0, max: 1 });
    const keys = {
      metrics: [
        metric('system/cpu', 99),
        metric('epoch', 90),
        metric('loss', 90),
        metric('val_acc', 80),
        metric('val_once', 1)
      ],
      params: [
        { key: 'lr', runs: 9, values: ['1', '2'] },
        { key: 'same', runs: 9, values: ['1'] }
      ],
      tags: []
    };
    expect(usualColumns(keys, true).map(({ key }) => key)).toEqual([
      'metrics.val_acc',
      'metrics.loss',
      'when'
    ]);
    const wide = usualColumns(keys, false).map(({ key }) => key);
    expect(wide).toContain('params.lr');
    expect(wide).not.toContain('params.same');
  });
});

describe('words', () => {
  it.each([
    [0.86123, '0.8612'],
    [1e300, '1e300'],
    [-1.5e-7, '−1.5e−7'],
    [123456.78, '123456.8'],
    [0.99999, '1.0000'],
    [12, '12'],
    [0, '0'],
    ['NaN', 'NaN'],
    ['Infinity', '∞'],
    ['-Infinity', '−∞'],
    [null, '—']
  ] as const)('show %s as %s', (value, text) => {
    expect(metricText(value)).toBe(text);
  });

  it('show a time as a clock does', () => {
    expect(clockText(134_000)).toBe('2:14');
    expect(clockText(3_734_000)).toBe('1:02:14');
    expect(clockText(-5)).toBe('0:00');
  });

  it('say that a run diverged, but not of one that failed anyway', () => {
    const odd: Partial<IRow> = { diverged: true, status: 'RUNNING' };
    expect(stateOf(row(odd))).toBe('diverged');
    expect(stateTitle(row(odd), trans)).toMatch(/still running/);
    expect(stateOf(row({ diverged: true, status: 'FAILED' }))).toBe('failed');
    expect(
      stateTitle(row({ status: 'KILLED', ended: 'process gone' }), trans)
    ).toBe('stopped · process gone');
  });
});
