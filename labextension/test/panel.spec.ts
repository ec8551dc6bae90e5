import { afterEach, describe, expect, it, vi } from 'vitest';

import { AiApi } from '../src/ai/api';
import { AiModel } from '../src/ai/model';
import { PanelData } from '../src/ai/panel/data';
import { Pulls, progress } from '../src/ai/panel/pulls';
import type { ICallRecord, IPullStep } from '../src/ai/wire';
import type { ICalled } from './fakes';
import { chunks, json, serverWith, settled } from './fakes';

const KEY = 'sk-very-secret';

/** What the panel knows, over a fake wire. */
function setup(answer: (called: ICalled) => Response | null = () => null) {
  let calls: Partial<ICallRecord>[] = [{ id: 'a', outcome: 'ok' }];
  const { server, calls: called } = serverWith(one => {
    const own = answer(one);
    if (own) {
      return own;
    }
    const { path } = one;
    if (path.endsWith('ai/calls')) {
      return json({ calls });
    }
    if (path.endsWith('ai/providers')) {
      return json({ keys_allowed: true, providers: [] });
    }
    return json({ mode: 'hybrid', modes: [], route: 'ollama/qwen' });
  });
  const api = new AiApi(server);
  const model = new AiModel(api);
  const data = new PanelData(api, model);
  return {
    ...{ api, data, model },
    asked: (path: string) =>
      called.filter(one => one.path.endsWith(path)).length,
    called,
    now: (...then: Partial<ICallRecord>[]) => (calls = then)
  };
}

describe('PanelData', () => {
  afterEach(() => void vi.useRealTimers());

  it('asks nothing before it is seen, and nothing after', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    const { asked, called, data, model } = setup();
    const wait = () => vi.advanceTimersByTimeAsync(120_000);
    model.track().cancelled();
    await wait();
    expect(called).toEqual([]);
    data.isVisible = true;
    await vi.waitFor(() => expect(data.feed.items).toHaveLength(1));
    await wait();
    expect(asked('ai/calls')).toBeGreaterThan(2);
    data.isVisible = false;
    const before = called.length;
    model.track().cancelled();
    await wait();
    expect(called).toHaveLength(before);
    data.dispose();
  });

  it('looks after a call of Lab itself, and at the cost only when calls are new', async () => {
    const { asked, data, model, now } = setup();
    data.isVisible = true;
    await vi.waitFor(() => expect(asked('ai/usage')).toBe(1));
    now({ id: 'b', outcome: 'ok' }, { id: 'a', outcome: 'ok' });
    model.track().cancelled();
    await vi.waitFor(() => expect(data.feed.items).toHaveLength(2));
    await vi.waitFor(() => expect(asked('ai/usage')).toBe(2));
    model.track().cancelled();
    await vi.waitFor(() => expect(asked('ai/calls')).toBe(3));
    await settled();
    expect(asked('ai/usage')).toBe(2);
    data.dispose();
  });

  it('takes the end of a running call for news', async () => {
    const { asked, data, model, now } = setup();
    now({ id: 'a', outcome: 'running' });
    data.isVisible = true;
    await vi.waitFor(() => expect(asked('ai/usage')).toBe(1));
    now({ id: 'a', outcome: 'ok' });
    model.track().cancelled();
    await vi.waitFor(() => expect(asked('ai/usage')).toBe(2));
    expect(data.feed.items[0]?.outcome).toBe('ok');
    data.dispose();
  });

  it('lists more calls on demand only', async () => {
    const { called, data, now } = setup();
    now(...Array.from({ length: 50 }, (_, n) => ({ id: `${n}` })));
    await data.calls.load();
    expect(data.hasMore).toBe(true);
    await data.loadMore();
    expect(data.hasMore).toBe(false);
    expect(called).toHaveLength(2);
    data.dispose();
  });

  it('sends a key, has the providers asked again, and keeps nothing of it', async () => {
    const { called, data, model } = setup();
    await data.setKey('my/openai', KEY);
    expect(called[0]).toMatchObject({
      method: 'PUT',
      path: expect.stringMatching(/ai\/keys\/my%2Fopenai$/),
      body: { key: KEY }
    });
    expect(called[1]?.path).toMatch(/ai\/providers$/);
    expect(inside(data)).not.toContain(KEY);
    expect(inside(model)).not.toContain(KEY);
    data.dispose();
  });

  it('says why a key was refused, without the key', async () => {
    const error = { code: 'invalid_request', message: 'This is no key.' };
    const { data } = setup(({ method }) =>
      method === 'PUT' ? json({ error }, 400) : null
    );
    const refusal = await data.setKey('openai', KEY).catch(reason => reason);
    expect(refusal).toMatchObject(error);
    expect(inside(refusal)).not.toContain(KEY);
    expect(inside(data)).not.toContain(KEY);
    data.dispose();
  });
});

describe('the models of a provider', () => {
  it('are progressing as a whole, although each part counts for itself', () => {
    const parts = new Map<string, IPullStep>();
    const step = (status: string, completed: number | null, total: number) =>
      progress(parts, { status, completed, total });
    expect(step('pulling manifest', null, 0)).toEqual({
      completed: 0,
      total: 0
    });
    expect(step('pulling a', null, 900)).toEqual({ completed: 0, total: 900 });
    expect(step('pulling a', 900, 900)).toEqual({ completed: 900, total: 900 });
    expect(step('pulling b', 50, 100)).toEqual({ completed: 950, total: 1000 });
    expect(step('verifying', null, 0)).toEqual({ completed: 950, total: 1000 });
  });

  it('arrive', async () => {
    const pulls = pullsOver(
      'data: {"status":"pulling a","completed":1,"total":2}\n\n',
      'data: {"status":"success","completed":null,"total":null}\n\n',
      'data: [DONE]\n\n'
    );
    const arrived: string[] = [];
    pulls.arrived.connect((_, provider) => arrived.push(provider));
    await pulls.start('ollama', 'qwen');
    expect(pulls.of('ollama')).toMatchObject({
      ...{ model: 'qwen', state: 'done', completed: 1, total: 2 }
    });
    expect(arrived).toEqual(['ollama']);
  });

  it.each([
    [
      'is refused',
      'data: {"error":{"code":"model_not_found","message":"No such model."}}\n\n',
      'No such model.'
    ],
    ['breaks off', 'data: {"status":"a"}\n\n', 'does not answer']
  ])('say why when a download %s', async (_, body, words) => {
    const pulls = pullsOver(body);
    await pulls.start('ollama', 'qwen');
    expect(pulls.of('ollama')).toMatchObject({
      state: 'failed',
      error: { message: expect.stringContaining(words) }
    });
  });

  it('are no longer waited for when cancelled', async () => {
    let signal: AbortSignal | null = null;
    const { server } = serverWith(called => {
      ({ signal } = called);
      return new Response(new ReadableStream());
    });
    const pulls = new Pulls(new AiApi(server));
    void pulls.start('ollama', 'qwen');
    await settled();
    expect(pulls.of('ollama')?.state).toBe('running');
    pulls.stop('ollama');
    await settled();
    expect(signal!.aborted).toBe(true);
    expect(pulls.of('ollama')).toBeNull();
  });
});

function pullsOver(...parts: string[]): Pulls {
  const { server } = serverWith(({ path, body }) => {
    expect(path).toMatch(/ai\/pull$/);
    expect(body).toEqual({ provider: 'ollama', model: 'qwen' });
    return new Response(chunks(...parts).body);
  });
  return new Pulls(new AiApi(server));
}

/** Everything that can be reached from a value, as text. */
function inside(value: unknown): string {
  const seen = new Set<unknown>();
  const found: string[] = [];
  const visit = (one: unknown) => {
    if (typeof one === 'string') {
      found.push(one);
    } else if (one && typeof one === 'object' && !seen.has(one)) {
      seen.add(one);
      if (one instanceof Map || one instanceof Set) {
        [...one].forEach(visit);
      }
      Object.getOwnPropertyNames(one).forEach(name =>
        visit((one as Record<string, unknown>)[name])
      );
    }
  };
  visit(value);
  return found.join('\n');
}
