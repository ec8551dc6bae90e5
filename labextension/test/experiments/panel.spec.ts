import { ServerConnection } from '@jupyterlab/services';
import type { Signal } from '@lumino/signaling';
import * as React from 'react';
// @ts-expect-error It comes with Lab, without its types.
import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, it, vi } from 'vitest';

import { ExperimentsApi } from '../../src/experiments/api';
import { Kept } from '../../src/experiments/kept';
import { ExperimentsLive } from '../../src/experiments/live';
import { ExperimentsModel } from '../../src/experiments/model';
import { pathOf } from '../../src/experiments/panel/sparkline';
import { Content } from '../../src/experiments/panel/content';
import { PanelProvider } from '../../src/experiments/panel/context';
import { RunsView } from '../../src/experiments/list/view';
import { Clock } from '../../src/shared/clock';
import { Format } from '../../src/shared/format';
import type { ICalled } from '../fakes';
import { json, serverWith, settled, trans } from '../fakes';
import { row } from './fakes';

// The package loads a thousand web components, which need a browser.
vi.mock('@jupyterlab/ui-components', () => {
  const icon = { react: () => React.createElement('svg') };
  return {
    ...{ addIcon: icon, caretDownIcon: icon, caretUpIcon: icon },
    ...{ closeIcon: icon, ellipsesIcon: icon, launchIcon: icon },
    ...{ refreshIcon: icon, LabIcon: class {}, ReactWidget: class {} }
  };
});

// It is measured and scrolled, which needs a browser too.
vi.mock('../../src/experiments/panel/table', () => ({ Table: () => null }));

const TRACKING = {
  ...{ state: 'off', message: '', next_step: null, kind: 'local' },
  ...{ ui: true, progress: '' }
};
const EXPERIMENT = {
  ...{ id: '1', name: 'titanic', stage: 'active', runs: 1200, running: 2 },
  ...{ last_ms: 5, note: '', can: { write: true, manage: true } }
};

async function setup(
  answers: Readonly<Record<string, unknown>>,
  place: 'side' | 'tab' = 'side'
) {
  const { server, calls } = serverWith(({ path }: ICalled) => {
    const name = path.split('/aidp/')[1]!.split('?')[0]!;
    const body = answers[name];
    return body instanceof Response ? body : json(body ?? {});
  });
  const api = new ExperimentsApi(server, 'http://lab.test/user/ana/');
  class Silent {
    close(): void {}
  }
  const live = new ExperimentsLive(
    ServerConnection.makeSettings({
      wsUrl: 'ws://lab.test/',
      WebSocket: Silent as unknown as typeof WebSocket
    })
  );
  const model = new ExperimentsModel(api, live, new Kept(null));
  const view = new RunsView(model, place);
  const see = async () => {
    model.isVisible = true;
    await settled();
    view.isVisible = true;
    await settled();
  };
  const html = (): string => {
    const value = {
      ...{ clock: new Clock(), commands: {} as never, model, trans, view },
      ...{ format: new Format(trans), prefix: 'p', leave: () => {} },
      ...{ openMenu: () => {}, openRunMenu: () => {} }
    };
    return renderToStaticMarkup(
      React.createElement(
        PanelProvider,
        { value },
        React.createElement(Content)
      )
    );
  };
  return { html, model, view, calls, see };
}

/** The words of a page. */
const words = (html: string) =>
  html.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ');

const page = (total: number) => ({
  runs: total ? [row()] : [],
  total,
  version: '1'
});

describe('the panel', () => {
  it('says that it is loading, and asks nothing before it is seen', async () => {
    const { html, calls } = await setup({});
    expect(html()).toContain('jp-AidpPanel-loading');
    expect(calls).toHaveLength(0);
  });

  it('says what would be there, before there is any experiment', async () => {
    const { html, see, calls } = await setup({
      experiments: { experiments: [], tracking: TRACKING }
    });
    await see();
    expect(words(html())).toMatch(
      /Runs appear here when a notebook logs one.*New experiment notebook/
    );
    expect(calls).toHaveLength(1);
  });

  it('says what went wrong, and offers to try again', async () => {
    const error = { code: 'storage_error', message: 'The disk is full.' };
    const { html, see } = await setup({ experiments: json({ error }, 500) });
    await see();
    expect(words(html())).toMatch(/The disk is full\. Try again Details/);
  });

  it('says how the tracking server starts, and why it does not', async () => {
    const { html, model, see } = await setup({
      experiments: {
        experiments: [EXPERIMENT],
        tracking: { ...TRACKING, state: 'starting', progress: 'migrating' }
      },
      'experiments/runs/search': page(0),
      'experiments/start': json(
        {
          error: {
            ...{ code: 'unavailable', message: 'MLflow is not installed.' },
            details: { next_step: 'pip install mlflow' }
          }
        },
        503
      )
    });
    await see();
    expect(words(html())).toContain('migrating');
    await model.start();
    model.live.tracking.connect(() => undefined);
    expect(model.startError?.message).toBe('MLflow is not installed.');
  });

  it('says that a tracking server does not run, with its words folded', async () => {
    const failed = {
      ...{ state: 'failed', message: 'Traceback', next_step: 'Look here.' }
    };
    const { html, see } = await setup({
      experiments: {
        experiments: [EXPERIMENT],
        tracking: { ...TRACKING, ...failed }
      },
      'experiments/runs/search': page(0)
    });
    await see();
    expect(words(html())).toMatch(
      /The tracking server does not run\. Look here\. Try again Details Traceback/
    );
  });

  it('names the experiment with its runs, and gives each button a name', async () => {
    const { html, see } = await setup({
      experiments: { experiments: [EXPERIMENT], tracking: TRACKING },
      'experiments/runs/search': page(0)
    });
    await see();
    const shown = html();
    expect(words(shown)).toMatch(/titanic ● 2 running · 1,200 runs/);
    for (const [, tag, inside] of shown.matchAll(
      /<button([^>]*)>(.*?)<\/button>/g
    )) {
      const name = /aria-label="([^"]+)"/.exec(tag!)?.[1];
      expect(name ?? words(inside!).trim()).not.toBe('');
    }
  });

  it('says that no run is like that, and how to see them again', async () => {
    const { html, see, view } = await setup({
      experiments: { experiments: [EXPERIMENT], tracking: TRACKING },
      'experiments/runs/search': page(0)
    });
    await see();
    view.write('nobody');
    await settled();
    expect(words(html())).toMatch(/No run is like that\. Clear the filter/);
  });

  it('says what is wrong with a filter, and where', async () => {
    const answers: Record<string, unknown> = {
      experiments: { experiments: [EXPERIMENT], tracking: TRACKING },
      'experiments/runs/search': page(1)
    };
    const { html, see, view } = await setup(answers);
    await see();
    const error = {
      ...{ code: 'invalid_request', message: 'A value is missing.' },
      details: { position: 13 }
    };
    answers['experiments/runs/search'] = json({ error }, 400);
    view.write('metrics.loss >>');
    await settled();
    expect(view.filterError?.message).toBe('A value is missing.');
    const shown = html();
    expect(shown).toContain('aria-invalid="true"');
    expect(words(shown)).toContain('A value is missing.');
  });
});

describe('the columns', () => {
  it('are there once a run has its first values, however late they come', async () => {
    const keys = { metrics: [] as unknown[], params: [], tags: [] };
    const { view, model, calls, see } = await setup({
      experiments: { experiments: [EXPERIMENT], tracking: TRACKING },
      'experiments/runs/search': page(1),
      'experiments/columns': keys
    });
    await see();
    const asked = () =>
      calls.filter(({ path }) => path.includes('experiments/columns')).length;
    const before = asked();
    vi.useFakeTimers();
    const hear = () =>
      (model.live.runs as Signal<unknown, unknown>).emit({
        ...{ experiment: '1', rows: [row()], removed: [], version: '2' }
      });
    // The run was there before; its first epoch is over now.
    keys.metrics = [{ key: 'loss', runs: 1, minimize: true }];
    hear();
    await vi.advanceTimersByTimeAsync(2_000);
    vi.useRealTimers();
    await settled();
    expect(asked()).toBe(before + 1);
    expect(view.look.asked).toContain('metrics.loss');
  });
});

describe('a small curve', () => {
  it('leaves a gap where a value is no number', () => {
    expect(pathOf([1, null, 2, 3])?.match(/M/g)).toHaveLength(2);
  });

  it('is none where there is a single value', () => {
    expect(pathOf([1])).toBeNull();
    expect(pathOf([null, 4])).toBeNull();
  });

  it('holds the largest and the smallest numbers', () => {
    expect(pathOf([-1.7e308, 1.7e308, 0])).not.toMatch(/NaN|Infinity/);
  });
});
