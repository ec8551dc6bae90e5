import { afterEach, describe, expect, it, vi } from 'vitest';

import { GitModel } from '../src/git/model';
import type { IRepositoryState } from '../src/git/wire';
import { json, settled } from './fakes';
import type { IGitCalled } from './git-fakes';
import { apiWith, change, job, state } from './git-fakes';

/** A model over a fake server that holds one repository at `work/titanic`. */
function setup(answer: (called: IGitCalled) => Response | null = () => null) {
  let now: IRepositoryState = state();
  const { api, calls } = apiWith(called => {
    const own = answer(called);
    if (own) {
      return own;
    }
    const { what, query } = called;
    if (what === 'GET state') {
      if (!query['path']?.startsWith('work/titanic')) {
        const error = { code: 'not_a_repository', message: 'None here.' };
        return json({ error }, 404);
      }
      return query['known'] === now.fingerprint
        ? json({ unchanged: true, fingerprint: now.fingerprint })
        : json(now);
    }
    if (what === 'GET ship') {
      return json({ job: null });
    }
    if (what === 'GET pull-request') {
      return json({ pull_request: null, checks: null });
    }
    return what.startsWith('POST') ? json(now) : null;
  });
  const model = new GitModel({ api });
  let changes = 0;
  model.changed.connect(() => changes++);
  return {
    ...{ calls, model },
    asked: (what: string) => calls.filter(one => one.what === what),
    changes: () => changes,
    now: (then: Partial<IRepositoryState>) => (now = { ...now, ...then })
  };
}

async function shown(
  model: GitModel,
  location = 'work/titanic/a.py',
  folder = 'work/titanic'
) {
  model.follow(location, folder);
  model.isVisible = true;
  await vi.waitFor(() => expect(model.isKnown).toBe(true));
  await settled();
}

describe('GitModel', () => {
  afterEach(() => void vi.useRealTimers());

  it('asks nothing before it is seen, and nothing after', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    const { calls, model } = setup();
    const wait = () => vi.advanceTimersByTimeAsync(60_000);
    model.follow('work/titanic', 'work/titanic');
    model.saved('work/titanic/a.py');
    model.glanced();
    await wait();
    expect(calls).toEqual([]);
    model.isVisible = true;
    await wait();
    expect(model.repository?.state.name).toBe('titanic');
    model.isVisible = false;
    await wait();
    const before = calls.length;
    model.follow('work/titanic/b.py', 'work/titanic');
    model.saved('work/titanic/a.py');
    await wait();
    expect(calls).toHaveLength(before);
    model.dispose();
  });

  it('makes no work while nothing has changed: not for the server, not for the screen', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    const { asked, changes, model } = setup();
    model.follow('work/titanic', 'work/titanic');
    model.isVisible = true;
    await vi.advanceTimersByTimeAsync(5_000);
    const [asking, painting] = [asked('GET state').length, changes()];
    await vi.advanceTimersByTimeAsync(60_000);
    const later = asked('GET state').slice(asking);
    expect(later.length).toBeGreaterThanOrEqual(5);
    expect(later.map(({ query }) => query['known'])).toEqual(
      later.map(() => 'one')
    );
    expect(asked('GET ship')).toHaveLength(1);
    expect(asked('GET pull-request')).toHaveLength(1);
    expect(changes()).toBe(painting);
    model.dispose();
  });

  it('shows what has changed at the next look', async () => {
    const { model, now } = setup();
    await shown(model);
    now({ fingerprint: 'two', changes: [change()] });
    await model.look(false);
    expect(model.repository?.state.changes).toHaveLength(1);
    model.dispose();
  });

  it('looks at the files after a save in the repository, once for many, and not for others', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    const { asked, model, now } = setup();
    model.follow('work/titanic', 'work/titanic');
    model.isVisible = true;
    await vi.advanceTimersByTimeAsync(1_000);
    const before = asked('GET state').length;
    // A file that differs changes nothing of what Git keeps: the fingerprint is the same.
    now({ changes: [change()] });
    model.saved('work/titanic/a.py');
    model.saved('work/titanic/b.py');
    model.saved('work/other/b.py');
    await vi.advanceTimersByTimeAsync(600);
    expect(asked('GET state')).toHaveLength(before + 1);
    expect(asked('GET state').at(-1)!.query).not.toHaveProperty('known');
    expect(model.repository?.state.changes).toHaveLength(1);
    model.saved('work/other/b.py');
    await vi.advanceTimersByTimeAsync(600);
    expect(asked('GET state')).toHaveLength(before + 1);
    model.dispose();
  });

  it('keeps a full look wanted when a lesser one takes its place', async () => {
    const { asked, model, now } = setup();
    await shown(model);
    now({ changes: [change()] });
    const full = model.look(true);
    await model.look(false);
    await full;
    expect(asked('GET state').at(-1)!.query).not.toHaveProperty('known');
    expect(model.repository?.state.changes).toHaveLength(1);
    model.dispose();
  });

  it('says that there is no repository, which is no error, and begins one', async () => {
    const { asked, model } = setup(({ what }) =>
      what === 'POST init' ? json(state({ path: 'docs', head: null })) : null
    );
    await shown(model, 'docs', 'docs');
    expect(model.repository).toBeNull();
    expect(model.error).toBeNull();
    await model.init();
    expect(asked('POST init')[0]!.body).toEqual({ path: 'docs' });
    expect(model.repository?.path).toBe('docs');
    model.dispose();
  });

  it('says what is wrong and keeps what it knew', async () => {
    let isBroken = false;
    const error = { code: 'git_failed', message: 'The repository is broken.' };
    const { model } = setup(({ what }) =>
      isBroken && what === 'GET state' ? json({ error }, 500) : null
    );
    await shown(model);
    isBroken = true;
    await model.look(true);
    expect(model.error).toMatchObject(error);
    expect(model.repository?.state.name).toBe('titanic');
    isBroken = false;
    await model.look(false);
    expect(model.error).toBeNull();
    model.dispose();
  });

  it('keeps the words for each repository while the user is elsewhere', async () => {
    const { model } = setup();
    await shown(model);
    model.repository!.draft.message = 'feat: age';
    model.follow('docs/x.md', 'docs');
    await model.look(false);
    expect(model.repository).toBeNull();
    model.follow('work/titanic', 'work/titanic');
    await model.look(false);
    expect(model.repository?.draft.message).toBe('feat: age');
    model.dispose();
  });

  it('does not put an old state over that of something done meanwhile', async () => {
    let late: ((response: Response) => void) | null = null;
    const { api } = apiWith(({ what }) =>
      what === 'GET state'
        ? new Promise<Response>(resolve => (late = resolve))
        : what === 'POST stage'
          ? json(state({ changes: [change({ staged: 'yes' })] }))
          : json({ job: null })
    );
    const model = new GitModel({ api });
    model.adopt(state({ changes: [change()] }));
    model.follow('work/titanic', 'work/titanic');
    const look = model.look(true);
    await settled();
    await model.repository!.stage(['a.py'], true);
    late!(json(state({ changes: [change()] })));
    await look;
    expect(model.repository!.state.changes[0]!.staged).toBe('yes');
    model.dispose();
  });

  it('shows a job that began before the page was loaded, and how it goes on', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    let then = job({}, 'done', 'running');
    const { model } = setup(({ what }) =>
      what === 'GET ship' ? json({ job: then }) : null
    );
    model.follow('work/titanic', 'work/titanic');
    model.isVisible = true;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(model.repository?.shipping.job?.steps[1]!.state).toBe('running');
    then = job({ state: 'interrupted' }, 'done', 'done', 'waiting');
    await vi.advanceTimersByTimeAsync(15_000);
    expect(model.repository?.shipping.job?.state).toBe('interrupted');
    expect(model.repository?.shipping.isRunning).toBe(false);
    model.dispose();
  });

  it('asks for running checks again and again, and for those that are over no more', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    let checks = 'pending';
    const { asked, model } = setup(({ what }) =>
      what === 'GET pull-request'
        ? json({ pull_request: null, checks: { state: checks, checks: [] } })
        : null
    );
    model.follow('work/titanic', 'work/titanic');
    model.isVisible = true;
    await vi.advanceTimersByTimeAsync(35_000);
    expect(asked('GET pull-request').length).toBeGreaterThanOrEqual(3);
    checks = 'success';
    await vi.advanceTimersByTimeAsync(15_000);
    const before = asked('GET pull-request').length;
    await vi.advanceTimersByTimeAsync(30_000);
    expect(asked('GET pull-request')).toHaveLength(before);
    model.dispose();
  });
});
