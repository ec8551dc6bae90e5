import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { AiApi } from '../src/ai/api';
import { AiModel } from '../src/ai/model';
import type { IDecision } from '../src/ai/wire';
import { providerState, sentence, status } from '../src/ai/wording';
import { AidpError } from '../src/shared/request';
import type { ICalled } from './fakes';
import { json, serverWith, trans } from './fakes';

const MODES = ['hybrid', 'local', 'offline', 'cloud'].map(mode => ({
  mode,
  label: mode[0]!.toUpperCase() + mode.slice(1),
  description: ''
}));

const LOCAL: IDecision = {
  mode: 'hybrid',
  route: 'ollama/qwen',
  label: 'qwen',
  locality: 'local',
  reason: 'local_first',
  message: 'Completion runs on a local model.',
  loaded: true,
  from_gateway: false,
  next_step: null,
  offers: [],
  refused: []
};

const NONE: IDecision = {
  ...LOCAL,
  route: null,
  label: null,
  locality: null,
  reason: 'no_model',
  message: 'No model can be reached.',
  next_step: 'Start Ollama.'
};

/** A model and the little world it asks. */
function setup() {
  const world = {
    mode: 'hybrid',
    decision: LOCAL,
    refusal: null as Response | null
  };
  const answer = ({ path, method, body }: ICalled): Response => {
    if (world.refusal) {
      return world.refusal.clone();
    }
    if (path.endsWith('ai/mode')) {
      if (method === 'PUT') {
        world.mode = (body as { mode: string }).mode;
      }
      return json({ mode: world.mode, modes: MODES });
    }
    if (path.endsWith('ai/route')) {
      expect(body).toEqual({ task: 'complete' });
      return json(world.decision);
    }
    return json({ mode: world.mode, keys_allowed: true, providers: [] });
  };
  const { server, calls } = serverWith(answer);
  const model = new AiModel(new AiApi(server));
  const text = () => {
    const { symbol, text } = status(model, trans);
    return `${symbol} ${text}`;
  };
  return { world, model, calls, text };
}

const BY = {
  route: 'ollama/qwen',
  reason: 'local_first',
  locality: 'local',
  attempts: 1
} as const;

describe('AiModel', () => {
  it('knows the mode, the route and why', async () => {
    const { model, text } = setup();
    expect(model.known).toBe(false);
    await model.refresh();
    expect(model.state).toBe('local');
    expect(text()).toBe('◆ local · qwen');
    expect(sentence(model)).toBe('Completion runs on a local model.');
  });

  it('tells when a cloud model would answer', async () => {
    const { model, world, text } = setup();
    world.decision = { ...LOCAL, locality: 'cloud', label: 'claude' };
    await model.refresh();
    expect(model.state).toBe('cloud');
    expect(text()).toBe('◆ cloud · claude');
  });

  it('says what to do when no model can be reached', async () => {
    const { model, world, text } = setup();
    world.decision = NONE;
    await model.refresh();
    expect(model.state).toBe('none');
    expect(model.reachable).toBe(false);
    expect(text()).toBe('◆ no model — start Ollama or add a key');
    expect(sentence(model)).toBe('No model can be reached. Start Ollama.');
  });

  it('sends whoever is on a hub to its admin, since its models are not theirs', async () => {
    const { model, world, text } = setup();
    world.decision = { ...NONE, from_gateway: true };
    await model.refresh();
    expect(text()).toBe('◆ no model — ask your hub’s admin');
    await model.setMode('local');
    expect(text()).toBe('◆ no model — choose another mode');
  });

  it('says what to do when the last model broke off and none is left', () => {
    const error = new AidpError('upstream_incomplete', 'It broke off.');
    expect(sentence({ error, decision: NONE })).toBe(
      'It broke off. Start Ollama.'
    );
    expect(sentence({ error, decision: LOCAL })).toBe('It broke off.');
  });

  it('is quiet and grey in a server without aidp', async () => {
    const { model, world } = setup();
    world.refusal = json({ message: 'Not Found' }, 404);
    await model.refresh();
    expect(model.state).toBe('none');
    expect(model.reachable).toBe(false);
    expect(sentence(model)).toContain('Install aidp-ext');
  });

  it('comes back when the server does', async () => {
    const { model, world } = setup();
    world.refusal = new Response('', { status: 500 });
    await model.refresh();
    expect(model.state).toBe('error');
    world.refusal = null;
    await model.refresh();
    expect(model.state).toBe('local');
  });

  it('shows a chosen mode at once and then the new route', async () => {
    const { model, world, calls, text } = setup();
    await model.refresh();
    const done = model.setMode('offline');
    expect(model.mode).toBe('offline');
    await done;
    expect(world.mode).toBe('offline');
    expect(text()).toBe('⦸ offline · qwen');
    expect(calls.filter(one => one.path.endsWith('ai/route'))).toHaveLength(2);
  });

  it('goes back to the old mode when the server refuses', async () => {
    const { model, world } = setup();
    await model.refresh();
    const error = { code: 'policy_refused', message: 'Not allowed here.' };
    world.refusal = json({ error }, 403);
    await model.setMode('cloud');
    expect(model.mode).toBe('hybrid');
    expect(model.error?.message).toBe('Not allowed here.');
    expect(model.reachable).toBe(true);
  });

  it('hears only the last of two choices', async () => {
    const { model, world } = setup();
    await model.refresh();
    const first = model.setMode('cloud');
    const second = model.setMode('local');
    await Promise.all([first, second]);
    expect(model.mode).toBe('local');
    expect(world.mode).toBe('local');
  });

  it('hears only the last of two questions, however late the first is answered', async () => {
    const late: ((decision: IDecision) => void)[] = [];
    const model = new AiModel({
      ...{ setMode: vi.fn(), providers: vi.fn(), usage: vi.fn() },
      mode: () => Promise.resolve({ mode: 'hybrid', modes: MODES }),
      route: () => new Promise(resolve => late.push(resolve))
    });
    const asked = [model.refresh(), model.refresh()];
    await vi.waitFor(() => expect(late).toHaveLength(2));
    late[1]!(LOCAL);
    late[0]!(NONE);
    await Promise.all(asked);
    expect(model.state).toBe('local');
  });

  it('does not take a missing model for a mishap', async () => {
    const { model, world } = setup();
    await model.refresh();
    world.decision = NONE;
    model.track().failed(new AidpError('no_model_available', 'None.', 503));
    await vi.waitFor(() => expect(model.state).toBe('none'));
    expect(model.error).toBeNull();
  });

  it('names the model that answered last, and asks for the reason when it is another', async () => {
    const { model, calls } = setup();
    await model.refresh();
    const before = calls.length;
    const call = model.track();
    call.answeredBy({ ...BY, route: 'anthropic/claude', locality: 'cloud' });
    call.done();
    expect(model.lastAnswer?.route).toBe('anthropic/claude');
    await vi.waitFor(() => expect(calls.length).toBeGreaterThan(before));
  });
});

describe('a slow answer', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('shows after a while, until the first word', async () => {
    const { model, text } = setup();
    await model.refresh();
    const call = model.track();
    vi.advanceTimersByTime(1400);
    expect(model.state).toBe('local');
    vi.advanceTimersByTime(200);
    expect(model.state).toBe('waiting');
    expect(text()).toBe('◆ waiting for qwen…');
    call.arrived();
    expect(model.state).toBe('local');
    call.done();
  });

  it('is not one when the first word came in time', async () => {
    const { model } = setup();
    await model.refresh();
    const call = model.track();
    vi.advanceTimersByTime(1000);
    call.arrived();
    vi.advanceTimersByTime(5000);
    expect(model.state).toBe('local');
  });

  it('is forgotten when cancelled', async () => {
    const { model } = setup();
    await model.refresh();
    const call = model.track();
    vi.advanceTimersByTime(2000);
    call.cancelled();
    vi.advanceTimersByTime(2000);
    expect(model.state).toBe('local');
  });
});

describe('providerState', () => {
  it('counts models', () => {
    expect(
      providerState({ state: 'ready', models: [{ id: 'a' }] }, trans)
    ).toBe('1 model');
    expect(providerState({ state: 'ready', models: [] }, trans)).toBe(
      '0 models'
    );
  });
});
