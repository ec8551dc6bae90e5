import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { Signal } from '@lumino/signaling';
import { beforeEach, describe, expect, it, vi } from 'vitest';

import { MemoryNotices } from '../../src/hub/memory';
import { Format } from '../../src/shared/format';
import { json, serverWith, trans } from '../fakes';

const said = vi.hoisted(() => [] as string[]);

// The package loads a thousand web components, which need a browser.
vi.mock('@jupyterlab/apputils', () => ({
  Notification: { error: (words: string) => said.push(words) }
}));

const GB = 1024 ** 3;
const words = { trans, format: new Format(trans) };

/** A notebook whose kernel can die, in a server that has lost so many processes. */
async function setup(ended = 0, limit: number | null = 4 * GB) {
  const world = { limit, ended };
  const { server } = serverWith(() => json(world));
  const sessionContext = {} as { statusChanged: Signal<unknown, string> };
  sessionContext.statusChanged = new Signal(sessionContext);
  const notebook = {
    context: { path: 'models/train.ipynb' },
    sessionContext
  } as unknown as NotebookPanel;
  const notebooks = {
    forEach: (each: (notebook: NotebookPanel) => void) => each(notebook)
  } as unknown as INotebookTracker;
  Object.assign(notebooks, { widgetAdded: new Signal(notebooks) });
  await new MemoryNotices(server, words, null).watch(notebooks);
  const turns = async (status: string) => {
    sessionContext.statusChanged.emit(status);
    await vi.waitFor(() => Promise.resolve());
    await new Promise(done => setTimeout(done, 0));
  };
  return { world, turns };
}

beforeEach(() => {
  said.length = 0;
});

describe('a kernel that died', () => {
  it('is explained by the limit where the system ended it', async () => {
    const { world, turns } = await setup();
    world.ended = 1;
    await turns('autorestarting');
    expect(said).toEqual([
      'train.ipynb lost its kernel: this server used up its 4 GB of memory. Use less at a time, or start it with more.'
    ]);
    expect(said[0]!.length).toBeLessThan(140);
    await turns('dead');
    expect(said.length).toBe(1);
    world.ended = 2;
    await turns('dead');
    expect(said.length).toBe(2);
  });

  it('is not where it ended by itself, or there is no limit', async () => {
    const one = await setup(3);
    await one.turns('autorestarting');
    await one.turns('busy');
    const other = await setup(0, null);
    other.world.ended = 1;
    await other.turns('autorestarting');
    expect(said).toEqual([]);
  });

  it('is in a server that started anew, and counts from zero', async () => {
    const { world, turns } = await setup(5, 640 * 1024 ** 2);
    world.ended = 1;
    await turns('autorestarting');
    expect(said.length).toBe(1);
    expect(said[0]).toContain('640 MB');
  });
});
