import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { GpuModel } from '../../src/hub/model';
import { Notices } from '../../src/hub/notices';
import type { IGpus, ILease } from '../../src/hub/wire';
import { line, ordinal, overview, sentence } from '../../src/hub/wording';
import { Format } from '../../src/shared/format';
import { json, serverWith, trans } from '../fakes';

const said = vi.hoisted(() => [] as string[]);

// The package loads a thousand web components, which need a browser.
vi.mock('@jupyterlab/apputils', () => {
  const say = (words: string) => said.push(words);
  return { Notification: { success: say, warning: say } };
});

const HOUR = 3_600_000;
const MINUTE = 60_000;
const NOW = Date.UTC(2026, 4, 4, 10);
const words = { trans, format: new Format(trans) };

function gpusOf(more: Partial<IGpus> = {}): IGpus {
  return {
    is_on: true,
    now_ms: NOW,
    gpus: [{ kind: 'A100', is_free: false, user: 'ana', until_ms: NOW + HOUR }],
    waiting: 0,
    lease: null,
    place: null,
    problem: null,
    ...more
  };
}

function leaseOf(more: Partial<ILease> = {}): ILease {
  return {
    kind: 'A100',
    is_held: true,
    since_ms: NOW - 2 * HOUR,
    until_ms: NOW + 6 * HOUR,
    is_wanted: false,
    ends_ms: null,
    is_idle: false,
    ...more
  };
}

const at = (time: number) =>
  new Date(time).toLocaleString([], { hour: '2-digit', minute: '2-digit' });

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('the line in the status bar', () => {
  it.each([
    ['GPU · 6 h left', { lease: leaseOf() }],
    ['GPU · 20 min left', { lease: leaseOf({ until_ms: NOW + 20 * MINUTE }) }],
    ['GPU', { lease: leaseOf({ until_ms: NOW - HOUR }) }],
    ['GPU · ends in 4 min', { lease: leaseOf({ ends_ms: NOW + 4 * MINUTE }) }],
    ['GPU · free for you', { lease: leaseOf({ is_held: false }) }],
    ['GPU · 2nd in line', { place: { position: 2, turn_ms: null } }],
    ['No GPU', {}]
  ])('says %s', (said, more) => {
    expect(line(gpusOf(more), words)).toBe(said);
  });

  it('counts as people do', () => {
    const said = [1, 2, 3, 4, 11, 12, 13, 21, 102, 111];
    expect(said.map(number => ordinal(number, trans)).join(' ')).toBe(
      '1st 2nd 3rd 4th 11th 12th 13th 21st 102nd 111th'
    );
  });
});

describe('the popup', () => {
  it('says when a turn comes, by the clock of whoever reads it', () => {
    // The hub's clock is an hour ahead of ours.
    const place = { position: 2, turn_ms: NOW + 3 * HOUR };
    const gpus = gpusOf({ now_ms: NOW + HOUR, place });
    expect(sentence(gpus, words)).toBe(
      `You are 2nd in line; your turn comes about ${at(NOW + 2 * HOUR)}.`
    );
  });

  it('says who has the only GPU, and how many wait', () => {
    expect(overview(gpusOf({ waiting: 2 }), words)).toBe(
      `In use by ana until about ${at(NOW + HOUR)} · 2 wait`
    );
    const free = { kind: 'A100', is_free: true, user: null, until_ms: null };
    expect(overview(gpusOf({ gpus: [free, free] }), words)).toBe('2 of 2 free');
  });
});

describe('the model', () => {
  it('looks again while there are GPUs, sooner where something is about to happen', async () => {
    let answer = gpusOf({ lease: leaseOf() });
    const { server, calls } = serverWith(() => json(answer));
    const model = new GpuModel(server);
    await model.watch();
    await vi.advanceTimersByTimeAsync(59_000);
    expect(calls.length).toBe(1);
    answer = gpusOf({ place: { position: 1, turn_ms: null } });
    await vi.advanceTimersByTimeAsync(2_000);
    expect(calls.length).toBe(2);
    await vi.advanceTimersByTimeAsync(16_000);
    expect(calls.length).toBe(3);
    answer = gpusOf({ is_on: false });
    await vi.advanceTimersByTimeAsync(16_000);
    await vi.advanceTimersByTimeAsync(HOUR);
    expect(calls.length).toBe(4);
    model.dispose();
  });

  it('keeps what it knows while the hub is away, and asks on', async () => {
    let isAway = false;
    const { server, calls } = serverWith(() =>
      isAway ? json({}, 503) : json(gpusOf())
    );
    const model = new GpuModel(server);
    await model.watch();
    isAway = true;
    await vi.advanceTimersByTimeAsync(610_000);
    expect(calls.length).toBe(3);
    expect(model.gpus).toEqual(gpusOf());
    expect(model.error).toBeNull();
    model.dispose();
  });

  it('looks often from when it waits', async () => {
    const { server, calls } = serverWith(() =>
      json(
        gpusOf(
          calls.length > 1 ? { place: { position: 1, turn_ms: null } } : {}
        )
      )
    );
    const model = new GpuModel(server);
    await model.watch();
    await model.wait();
    await vi.advanceTimersByTimeAsync(31_000);
    expect(calls.map(({ method }) => method).join(' ')).toBe(
      'GET POST GET GET'
    );
    model.dispose();
  });

  it('says why a wish is not granted, and what is so now', async () => {
    const error = {
      code: 'conflict',
      message: 'Others wait for this GPU.',
      details: { next_step: 'Save your work.' }
    };
    const { server, calls } = serverWith(({ method }) =>
      method === 'POST'
        ? json({ error }, 409)
        : json(gpusOf({ lease: leaseOf({ is_wanted: true }) }))
    );
    const model = new GpuModel(server);
    await model.extend();
    expect(calls.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /user/ana/aidp/hub/gpus/extend',
      'GET /user/ana/aidp/hub/gpus'
    ]);
    expect(model.error?.nextStep).toBe('Save your work.');
    expect(model.gpus?.lease?.is_wanted).toBe(true);
    expect(model.isBusy).toBe(false);
  });

  it('waits and leaves', async () => {
    const { server, calls } = serverWith(({ method }) =>
      json(
        gpusOf(
          method === 'POST' ? { place: { position: 1, turn_ms: null } } : {}
        )
      )
    );
    const model = new GpuModel(server);
    await model.wait();
    expect(model.gpus?.place?.position).toBe(1);
    await model.leave();
    expect(model.gpus?.place).toBeNull();
    expect(calls.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /user/ana/aidp/hub/gpus/wait',
      'DELETE /user/ana/aidp/hub/gpus/wait'
    ]);
  });
});

describe('notices', () => {
  async function told(...answers: Partial<IGpus>[]): Promise<string[]> {
    said.length = 0;
    const queue = [...answers];
    const { server } = serverWith(() => json(gpusOf(queue.shift())));
    const model = new GpuModel(server);
    new Notices(model, words, null);
    for (let count = 0; count < answers.length; count++) {
      await model.look();
    }
    return [...said];
  }

  it('say once that a lease is nearly over, and only where somebody waits', async () => {
    const nearly = { until_ms: NOW + 10 * MINUTE };
    const wanted = leaseOf({ ...nearly, is_wanted: true });
    expect(
      await told(
        { lease: leaseOf({ is_wanted: true }) },
        { lease: leaseOf(nearly) },
        { lease: wanted },
        { lease: wanted }
      )
    ).toEqual([
      `Yours until ${at(NOW + 10 * MINUTE)}; somebody waits for it. Save your work.`
    ]);
  });

  it('say that a server is to be stopped, and again where that was called off between', async () => {
    const ends = leaseOf({ ends_ms: NOW + 5 * MINUTE, is_idle: true });
    const heard = await told(
      { lease: ends },
      { lease: ends },
      { lease: leaseOf() },
      { lease: ends }
    );
    expect(heard.length).toBe(2);
    expect(heard[0]).toContain('Your GPU does nothing');
    expect(heard[0]).toContain(at(NOW + 5 * MINUTE));
  });

  it('say that a GPU is free for somebody', async () => {
    const offer = leaseOf({ is_held: false, until_ms: NOW + 5 * MINUTE });
    expect(await told({ lease: offer }, { lease: offer })).toEqual([
      `A GPU is kept for you until ${at(NOW + 5 * MINUTE)}. Stop your server, and start it with a GPU.`
    ]);
  });
});
