import { Signal } from '@lumino/signaling';
import { describe, expect, it, vi } from 'vitest';

import type { ExperimentsApi } from '../../src/experiments/api';
import { cellsIn } from '../../src/experiments/artifacts/cells';
import type { ExperimentsLive, IWish } from '../../src/experiments/live';
import { isAlias, isModelName } from '../../src/experiments/register/names';
import { branchFor, pathFor } from '../../src/experiments/restore/names';
import {
  cellsOf,
  factsOf,
  isShown,
  linesIn,
  packagesOf
} from '../../src/experiments/run/code';
import { isOwnTag, isSystem } from '../../src/experiments/run/keys';
import { kindOf } from '../../src/experiments/run/lines';
import { RunModel } from '../../src/experiments/run/model';
import {
  aboutRun,
  mlflowAddress,
  snippetFor
} from '../../src/experiments/run/words';
import type {
  IPoints,
  IRunChange,
  IRunDetail,
  IRunsNews
} from '../../src/experiments/wire';
import { settled, trans } from '../fakes';

function detail(news: Partial<IRunDetail> = {}): IRunDetail {
  return {
    id: 'r1',
    name: 'brave-elk',
    experiment_id: '1',
    status: 'RUNNING',
    stage: 'active',
    start_ms: 1000,
    end_ms: null,
    user: 'ana',
    cell: { notebook: 'work/analysis.ipynb', cell_id: 'c', count: 7 },
    commit: null,
    dirty: null,
    diverged: false,
    ended: null,
    params: { lr: '0.1' },
    metrics: [
      { key: 'loss', value: 0.3, step: 1, time_ms: 1, min: 0.3, max: 1 }
    ],
    system_metrics: [],
    tags: { team: 'vision' },
    note: '',
    lineage: {
      notebook: null,
      cell_id: null,
      count: null,
      source: null,
      commit: null,
      branch: null,
      remote: null,
      dirty: null,
      shipped: null,
      patch_bytes: null,
      python: null,
      packages: null,
      hardware: {},
      user: null,
      job: null,
      seed: null,
      captured: null
    },
    inputs: [],
    models: [],
    logged_models: [],
    artifact_root: '',
    can: { write: true, manage: true },
    ...news
  };
}

/** A run as the server and the websocket tell of it. */
class Told {
  answer: () => Promise<IRunDetail> = async () => detail();
  asked = 0;
  readonly changes: IRunChange[] = [];
  readonly wishes: (IWish | null)[] = [];
  readonly points = new Signal<this, IPoints>(this);
  readonly runs = new Signal<this, IRunsNews>(this);
  readonly resync = new Signal<this, void>(this);

  readonly model = new RunModel(
    {
      run: () => {
        this.asked++;
        return this.answer();
      },
      changeRun: async (_: string, change: IRunChange) => {
        this.changes.push(change);
        return { ...(await this.answer()), ...change };
      },
      deleteRuns: async () => ({
        done: [],
        failed: [{ run: 'r1', code: 'forbidden', message: 'Not yours.' }]
      }),
      curves: async () => []
    } as unknown as ExperimentsApi,
    this as unknown as ExperimentsLive,
    'r1'
  );

  watch(_: unknown, wish: IWish | null): void {
    this.wishes.push(wish);
  }
}

describe('a run', () => {
  it('is asked for and followed while it is seen', async () => {
    const told = new Told();
    await settled();
    expect(told.asked).toBe(0);
    told.model.isVisible = true;
    await settled();
    expect(told.model.run?.name).toBe('brave-elk');
    expect(told.wishes.at(-1)).toEqual({ runs: ['r1'], experiments: ['1'] });
    told.model.isVisible = false;
    expect(told.wishes.at(-1)).toBeNull();
  });

  it('is asked for once when much of it happens at the same time', async () => {
    vi.useFakeTimers();
    const told = new Told();
    told.model.isVisible = true;
    await vi.advanceTimersByTimeAsync(10);
    for (let step = 0; step < 50; step++) {
      told.points.emit({
        run: 'r1',
        metric: 'loss',
        x: [step],
        time_ms: [step],
        y: [1]
      });
    }
    await vi.advanceTimersByTimeAsync(1000);
    vi.useRealTimers();
    expect(told.asked).toBe(2);
  });

  it('that is another one is no matter', async () => {
    const told = new Told();
    told.model.isVisible = true;
    await settled();
    told.runs.emit({
      experiment: '1',
      rows: [],
      removed: ['r2'],
      version: '2'
    });
    told.points.emit({ run: 'r2', metric: 'a', x: [], time_ms: [], y: [] });
    await new Promise(resolve => setTimeout(resolve, 500));
    expect(told.asked).toBe(1);
  });

  it('stays in view when it cannot be changed or asked for, and says why', async () => {
    const told = new Told();
    told.model.isVisible = true;
    await settled();
    told.answer = async () => {
      throw new Error('down');
    };
    expect(await told.model.change({ name: 'x' })).toBe(false);
    expect(told.model.error).not.toBeNull();
    await told.model.refresh();
    expect(told.model.run?.name).toBe('brave-elk');
    told.model.dismiss();
    expect(told.model.error).toBeNull();
    expect(await told.model.remove(true)).toBe(false);
    expect(told.model.error?.message).toContain('Not yours.');
  });
});

describe('what is kept of the code', () => {
  it('holds the cells, whatever else is in the file', () => {
    const cells = [
      { count: 1, cell_id: 'a', source: 'x = 1', ok: true },
      { count: null, source: 'y' },
      { source: 3 },
      null
    ];
    expect(cellsOf(JSON.stringify(cells))).toEqual([
      { count: 1, cell_id: 'a', source: 'x = 1', ok: true },
      { count: null, cell_id: null, source: 'y', ok: null }
    ]);
    expect(cellsOf('{}')).toEqual([]);
    expect(() => cellsOf('[{')).toThrow();
  });

  it('holds packages with their versions', () => {
    expect(
      packagesOf('# made by aidp\nnumpy==2.1\r\nmine @ file:///x\nodd\n\n')
    ).toEqual([
      { name: 'numpy', version: '2.1' },
      { name: 'mine', version: 'file:///x' },
      { name: 'odd', version: '' }
    ]);
  });

  it('holds facts, by the way to each', () => {
    expect(
      factsOf(
        '{"python": {"version": "3.13"}, "gpus": [], "n": [1, 2], "x": null, "packages": {"numpy": "2"}}'
      )
    ).toEqual([
      ['python › version', '3.13'],
      ['gpus', ''],
      ['n', '1, 2']
    ]);
  });

  it('counts the lines of a diff, not those of its heads', () => {
    const diff = '--- a/x\n+++ b/x\n@@ -1 +1,2 @@\n-a\n+b\n+---\n same\n';
    expect(linesIn(diff)).toBe(3);
    expect(diff.trim().split('\n').map(kindOf)).toEqual([
      'file',
      'file',
      'place',
      'remove',
      'add',
      'add',
      'same'
    ]);
  });

  it('is shown as far as it is of a size to be read', () => {
    expect(isShown(100)).toBe(true);
    expect(isShown(200_000_000)).toBe(false);
    expect(isShown(0)).toBe(false);
    expect(isShown(null)).toBe(false);
  });
});

describe('a notebook among the artifacts', () => {
  it('is told by its cells, and what is none is not', () => {
    const text = JSON.stringify({
      cells: [
        { cell_type: 'markdown', source: ['# A\n', 'b'] },
        {
          cell_type: 'code',
          source: '1/0',
          outputs: [
            { output_type: 'stream', text: ['a', 'b'] },
            { data: { 'text/html': '<script>', 'text/plain': '3' } },
            { ename: 'ZeroDivisionError', evalue: 'division by zero' }
          ]
        }
      ]
    });
    expect(cellsIn(text)).toEqual([
      { type: 'markdown', source: '# A\nb', output: '' },
      {
        type: 'code',
        source: '1/0',
        output: 'ab\n3\nZeroDivisionError: division by zero'
      }
    ]);
    expect(cellsIn('{"cells": [')).toBeNull();
    expect(cellsIn('{}')).toBeNull();
  });
});

describe('names', () => {
  it('of restored code are made from the run', () => {
    expect(pathFor(detail())).toBe('work/analysis-brave-elk.ipynb');
    expect(pathFor(detail({ cell: null, name: '🦊/../x' }))).toBe(
      'run-x.ipynb'
    );
    expect(branchFor(detail({ name: '😀' }))).toBe('run/r1');
    expect(branchFor(detail({ name: 'é'.repeat(500) }))).toHaveLength(44);
  });

  it('of models and aliases are those that MLflow takes', () => {
    expect(isModelName('titanic 😀')).toBe(true);
    expect(isModelName('a/b')).toBe(false);
    expect(isModelName(' ')).toBe(false);
    expect(isAlias('champion')).toBe(true);
    for (const alias of ['latest', 'v12', '3', 'a b', '']) {
      expect(isAlias(alias), alias).toBe(false);
    }
  });

  it('of tags and metrics say whose they are', () => {
    expect(isOwnTag('mlflow.user')).toBe(false);
    expect(isOwnTag('aidp.seed')).toBe(false);
    expect(isOwnTag('mlflower')).toBe(true);
    expect(isSystem('system/cpu')).toBe(true);
    expect(isSystem('systematic')).toBe(false);
  });
});

describe('words for elsewhere', () => {
  it('are code that reads the run, its address, and a question', () => {
    expect(snippetFor('r1')).toContain('mlflow.get_run("r1")');
    expect(mlflowAddress('http://lab/aidp/mlflow/', detail())).toBe(
      'http://lab/aidp/mlflow/#/experiments/1/runs/r1'
    );
    const question = aboutRun(detail(), trans);
    expect(question).toContain('loss = 0.3');
    expect(question).toContain('lr = 0.1');
  });
});
