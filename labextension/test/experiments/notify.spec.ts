import { nullTranslator } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Notify } from '../../src/experiments/notify';
import { Notifier } from '../../src/experiments/notify';
import { CommandIDs } from '../../src/experiments/tokens';
import type { IRow } from '../../src/experiments/wire';
import { Format } from '../../src/shared/format';
import { row } from './fakes';

interface IOptions {
  readonly actions: readonly { readonly callback: () => void }[];
}

const said = vi.hoisted(() => [] as [string, string, unknown][]);

// The package loads a thousand web components, which need a browser.
vi.mock('@jupyterlab/apputils', () => {
  const say = (kind: string) => (words: string, options: unknown) =>
    said.push([kind, words, options]);
  return {
    Notification: {
      success: say('success'),
      error: say('error'),
      warning: say('warning'),
      info: say('info')
    }
  };
});

const trans = nullTranslator.load('aidp_ext');
const NOW = Date.parse('2026-01-01T12:00:00Z');

function setup(wish: Notify = 'long', isSeen = false) {
  said.length = 0;
  const execute = vi.fn();
  const notifier = new Notifier({
    commands: { execute } as unknown as CommandRegistry,
    format: new Format(trans),
    trans,
    isSeen: () => isSeen
  });
  notifier.wish = wish;
  return { notifier, execute };
}

/** A run that ended now, after so many seconds. */
function ended(seconds: number, news: Partial<IRow> = {}): IRow {
  const times = { start_ms: NOW - seconds * 1000, end_ms: NOW };
  return row({ ...times, status: 'FINISHED', ...news });
}

function words(): string[] {
  vi.advanceTimersByTime(1_000);
  return said.map(([kind, text]) => `${kind}: ${text}`);
}

describe('notifications', () => {
  beforeEach(() => void vi.useFakeTimers({ now: NOW }));
  afterEach(() => vi.useRealTimers());

  it('tell that a long run is over, with the way to it and to its cell', () => {
    const { notifier, execute } = setup();
    const cell = { notebook: 'a.ipynb', cell_id: 'c', count: 1 };
    notifier.hear(ended(134, { cell }));
    expect(words()).toEqual(['success: brave-elk finished after 2:14']);
    const { actions } = said[0]![2] as IOptions;
    actions.forEach(({ callback }) => callback());
    const runs = { runs: ['r1'] };
    expect(execute.mock.calls).toEqual([
      [CommandIDs.openRun, runs],
      [CommandIDs.jump, runs]
    ]);
  });

  it('do not tell of what one has waited for', () => {
    const { notifier } = setup();
    notifier.hear(ended(2));
    expect(words()).toEqual([]);
  });

  it('tell of what failed or diverged also after a moment, but not to who sees it', () => {
    const { notifier } = setup();
    notifier.hear(ended(1, { status: 'FAILED', ended: 'process gone' }));
    notifier.hear(row({ id: 'r2', name: 'odd-newt', diverged: true }));
    expect(words()).toEqual([
      'error: brave-elk failed after 0:01: process gone',
      'warning: odd-newt diverged: a metric is no finite number any more'
    ]);
    const seen = setup('long', true).notifier;
    seen.hear(ended(1, { status: 'FAILED' }));
    expect(words()).toEqual([]);
  });

  it('tell each thing once', () => {
    const { notifier } = setup();
    notifier.hear(ended(60));
    notifier.hear(ended(60));
    expect(words()).toHaveLength(1);
  });

  it('tell of many at once in one line', () => {
    const { notifier } = setup();
    for (let n = 0; n < 40; n++) {
      notifier.hear(ended(60, { id: `r${n}` }));
    }
    notifier.hear(ended(60, { id: 'bad', status: 'FAILED' }));
    expect(words()).toEqual([
      'warning: 41 runs ended, 1 of them failed or diverged'
    ]);
  });

  it('do not tell of what ended long ago and is heard of only now', () => {
    const { notifier } = setup('all');
    notifier.hear(ended(60, { end_ms: NOW - 3_600_000 }));
    expect(words()).toEqual([]);
  });

  it('are as wished for', () => {
    setup('none').notifier.hear(ended(60));
    expect(words()).toEqual([]);
    setup('all').notifier.hear(ended(1));
    expect(words()).toHaveLength(1);
    setup('failed').notifier.hear(ended(60));
    expect(words()).toEqual([]);
  });
});
