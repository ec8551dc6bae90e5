import { describe, expect, it } from 'vitest';

import type { IShipOptions } from '../src/git/repository';
import { Repository } from '../src/git/repository';
import type { IRepositoryState } from '../src/git/wire';
import { json, settled } from './fakes';
import type { IGitCalled } from './git-fakes';
import { Feed, apiWith, change, finding, job, state } from './git-fakes';

const STAGED = [change({ staged: 'yes' })];
const NO_REQUEST = { pull_request: null, checks: null };
const SUGGESTED = {
  reviewers: ['bo'],
  labels: [],
  base: 'main',
  bases: ['main'],
  template: 'What?',
  title: null
};

function setup(
  news: Partial<IRepositoryState> = {},
  answer: (called: IGitCalled) => Response | Promise<Response> | null = () =>
    null,
  options: Partial<IShipOptions> = {}
) {
  const acted: boolean[] = [];
  const { api, calls } = apiWith(
    called =>
      answer(called) ??
      (called.what === 'GET pull-request'
        ? json(NO_REQUEST)
        : called.what === 'GET suggestions'
          ? json(SUGGESTED)
          : null)
  );
  const repository = new Repository(state(news), {
    api,
    options: { how: 'rebase', opensRequest: true, isDraft: false, ...options },
    acted: isFresh => acted.push(isFresh)
  });
  return {
    ...{ acted, calls, repository },
    asked: (what: string) => calls.filter(one => one.what === what)
  };
}

const check = (name: string, ...findings: unknown[]) => ({
  kind: 'check',
  check: { name, findings, waived: 0, skipped: null, note: null }
});
const DONE = { kind: 'done', tree: 't1', blocking: 0 };

describe('preflight', () => {
  it('shows each result as it comes, and pins what was looked at', async () => {
    const feed = new Feed();
    const { repository } = setup({ changes: STAGED }, ({ what }) =>
      what === 'POST preflight' ? feed.response : null
    );
    const { preflight } = repository;
    const run = preflight.run();
    feed.send(check('conflicts'));
    await settled();
    expect(preflight.results.map(({ name }) => name)).toEqual(['conflicts']);
    expect(preflight.isCurrent).toBe(false);
    expect(preflight.tree).toBeNull();
    feed.send(check('secrets', finding()), { ...DONE, blocking: 1 });
    feed.end();
    await run;
    expect(preflight.blocking).toBe(1);
    expect(preflight.tree).toBe('t1');
    expect(repository.plan.missing).toBe('message');
    repository.draft.message = 'feat: age';
    expect(repository.plan.missing).toBe('fixes');
    repository.dispose();
  });

  it('no longer counts once something else is chosen', async () => {
    const { repository } = setup({ changes: STAGED }, ({ what }) =>
      what === 'POST preflight'
        ? stream(check('secrets', finding({ severity: 'warn' })), DONE)
        : what === 'POST stage'
          ? json(state({ changes: [...STAGED, change({ path: 'b.py' })] }))
          : null
    );
    await repository.preflight.run();
    expect(repository.preflight.acknowledged).toEqual(['f1']);
    await repository.stage(['b.py'], true);
    expect(repository.preflight.isCurrent).toBe(false);
    expect(repository.preflight.tree).toBeNull();
    expect(repository.preflight.acknowledged).toEqual([]);
    repository.dispose();
  });

  it('is not cleared by a job that was over before', async () => {
    const { repository } = setup({ changes: STAGED }, ({ what }) =>
      what === 'POST preflight'
        ? stream(check('secrets', finding()), DONE)
        : what === 'GET ship'
          ? json({
              job: job(
                { state: 'failed', commit: 'c1' },
                'done',
                'done',
                'failed'
              )
            })
          : null
    );
    await repository.preflight.run();
    await repository.shipping.load();
    expect(repository.shipping.job?.state).toBe('failed');
    expect(repository.preflight.findings).toHaveLength(1);
    repository.dispose();
  });

  it('stops, and keeps what was found', async () => {
    const feed = new Feed();
    let signal: AbortSignal | null = null;
    const { repository } = setup({}, called => {
      if (called.what !== 'POST preflight') {
        return null;
      }
      ({ signal } = called);
      return feed.response;
    });
    const run = repository.preflight.run();
    feed.send(check('secrets', finding()));
    await settled();
    repository.preflight.stop();
    expect(repository.preflight.isRunning).toBe(false);
    expect(signal!.aborted).toBe(true);
    expect(repository.preflight.findings).toHaveLength(1);
    expect(repository.preflight.isDone).toBe(false);
    feed.breakOff();
    await run;
    expect(repository.preflight.error).toBeNull();
    repository.dispose();
  });

  it('says why it could not look', async () => {
    const { repository } = setup({}, ({ what }) =>
      what === 'POST preflight' ? stream(error('disk_full', 'Full.')) : null
    );
    await repository.preflight.run();
    expect(repository.preflight.error).toMatchObject({ code: 'disk_full' });
    expect(repository.preflight.isRunning).toBe(false);
    repository.dispose();
  });

  it('looks again after a fix, and after one that came too late', async () => {
    let isGone = false;
    const { asked, repository } = setup({ changes: STAGED }, ({ what }) =>
      what === 'POST preflight'
        ? stream(check('secrets'), DONE)
        : what === 'POST fix'
          ? isGone
            ? json(error('finding_gone', 'It is gone.'), 404)
            : json(state({ changes: STAGED }))
          : null
    );
    await repository.fix(finding(), 'strip');
    expect(asked('POST fix')[0]!.body).toEqual({
      ...{ path: 'work/titanic', finding: 'f1', fix: 'strip' }
    });
    expect(asked('POST preflight')).toHaveLength(1);
    expect(repository.preflight.isCurrent).toBe(true);
    isGone = true;
    await repository.fix(finding(), 'strip');
    expect(repository.error).toMatchObject({ code: 'finding_gone' });
    expect(asked('POST preflight')).toHaveLength(2);
    repository.dispose();
  });
});

describe('staging', () => {
  it('counts before the server has heard of it, and not if it refuses', async () => {
    const { acted, repository } = setup({ changes: [change()] }, ({ what }) =>
      what === 'POST stage'
        ? json(error('repository_busy', 'Busy.'), 409)
        : null
    );
    const done = repository.stage(['a.py'], true);
    expect(repository.isStaged('a.py')).toBe(true);
    expect(await done).toBe(false);
    expect(repository.isStaged('a.py')).toBe(false);
    expect(repository.error).toMatchObject({ message: 'Busy.' });
    expect(acted).toEqual([false]);
    repository.dispose();
  });

  it('does one thing after the other', async () => {
    const waiting: (() => void)[] = [];
    const { asked, repository } = setup({}, ({ what }) =>
      what === 'POST stage'
        ? new Promise<Response>(resolve =>
            waiting.push(() => resolve(json(state())))
          )
        : null
    );
    const all = [
      repository.stage(['a.py'], true),
      repository.stage(['a.py'], false)
    ];
    await settled();
    expect(asked('POST stage')).toHaveLength(1);
    waiting[0]!();
    await all[0];
    await settled();
    waiting[1]!();
    await all[1];
    expect(asked('POST stage')[1]!.body).toMatchObject({ staged: false });
    repository.dispose();
  });
});

describe('shipping', () => {
  it('sends what was seen, follows each step, and begins anew when it is done', async () => {
    const feed = new Feed();
    const { acted, asked, repository } = setup(
      { changes: STAGED },
      ({ what }) =>
        what === 'POST ship'
          ? feed.response
          : what === 'POST preflight'
            ? stream(check('outputs', finding({ severity: 'warn' })), DONE)
            : null
    );
    await repository.preflight.run();
    repository.draft.message = 'feat: age\n';
    const shipped = repository.ship();
    await settled();
    expect(asked('POST ship')[0]!.body).toEqual({
      path: 'work/titanic',
      message: 'feat: age',
      tree: 't1',
      branch: null,
      open: {
        title: 'feat: age',
        body: 'What?',
        draft: false,
        reviewers: [],
        labels: [],
        base: 'main'
      },
      how: 'rebase',
      acknowledge: ['f1'],
      with_runs: true
    });
    expect(repository.shipping.isRunning).toBe(true);
    feed.send({ kind: 'job', job: job({}, 'done', 'running') });
    await settled();
    expect(repository.shipping.job?.steps[1]!.state).toBe('running');
    expect(repository.draft.message).toBe('feat: age\n');
    feed.send({ kind: 'job', job: job({ state: 'done' }, 'done', 'done') });
    feed.end();
    await shipped;
    expect(repository.shipping.isRunning).toBe(false);
    expect(repository.draft.message).toBe('');
    expect(repository.preflight.results).toEqual([]);
    expect(acted).toEqual([false]);
    repository.dispose();
  });

  it('asks the forge about what was pushed as soon as its checks are followed', async () => {
    const feed = new Feed();
    const { asked, repository } = setup(
      { branch: 'fix/it', changes: STAGED },
      ({ what }) => (what === 'POST ship' ? feed.response : null)
    );
    repository.draft.message = 'fix: it';
    const shipped = repository.ship();
    const follows = (text: string) => {
      const step = { name: 'checks', state: 'running', text, error: null };
      feed.send({ kind: 'job', job: { ...job(), steps: [step] } });
    };
    await settled();
    expect(asked('GET pull-request')).toHaveLength(0);
    follows('0 of 2');
    await settled();
    expect(asked('GET pull-request')).toHaveLength(1);
    follows('1 of 2');
    await settled();
    expect(asked('GET pull-request')).toHaveLength(1);
    feed.send({ kind: 'job', job: job({ state: 'done' }) });
    feed.end();
    await shipped;
    await settled();
    expect(asked('GET pull-request')).toHaveLength(2);
    repository.dispose();
  });

  it('keeps the message after a failure and goes on from there', async () => {
    const failed = job({ state: 'failed' }, 'done', 'done', 'failed');
    const { asked, repository } = setup({ changes: STAGED }, ({ what }) =>
      what === 'POST ship'
        ? stream({ kind: 'job', job: failed })
        : what === 'POST ship/resume'
          ? stream({ kind: 'job', job: job({ state: 'done' }, 'done') })
          : null
    );
    repository.draft.message = 'feat: age';
    await repository.ship();
    const { shipping } = repository;
    expect(shipping.job?.state).toBe('failed');
    // What went wrong is with the step.
    expect(shipping.error).toBeNull();
    expect(repository.draft.message).toBe('feat: age');
    await shipping.resume();
    expect(asked('POST ship/resume')[0]!.body).toEqual({
      path: 'work/titanic'
    });
    expect(shipping.job?.state).toBe('done');
    repository.dispose();
  });

  it('takes the message for said once it is in a commit, and keeps the rest', async () => {
    const failed = job({ state: 'failed', commit: 'c1' }, 'done', 'done');
    const { repository } = setup({ changes: STAGED }, ({ what }) =>
      what === 'POST ship' ? stream({ kind: 'job', job: failed }) : null
    );
    repository.draft.message = 'feat: age';
    repository.draft.change({ title: 'Age' });
    await repository.ship();
    expect(repository.draft.message).toBe('');
    expect(repository.draft.wish.title).toBe('Age');
    repository.dispose();
  });

  it('says why it was not begun', async () => {
    const { repository } = setup({ changes: STAGED }, ({ what }) =>
      what === 'POST ship'
        ? json(error('index_changed', 'Other changes.'), 409)
        : what === 'GET ship'
          ? json({ job: null })
          : null
    );
    repository.draft.message = 'feat: age';
    await repository.ship();
    expect(repository.shipping.job).toBeNull();
    expect(repository.shipping.error).toMatchObject({
      message: 'Other changes.'
    });
    expect(repository.draft.message).toBe('feat: age');
    repository.dispose();
  });

  it('cancels through the server, once', async () => {
    const feed = new Feed();
    const { asked, repository } = setup({ changes: STAGED }, ({ what }) =>
      what === 'POST ship'
        ? feed.response
        : what === 'POST ship/cancel'
          ? json({ job: job({ state: 'cancelled' }, 'done', 'skipped') })
          : null
    );
    repository.draft.message = 'feat: age';
    void repository.ship();
    await settled();
    feed.send({ kind: 'job', job: job({}, 'running') });
    await settled();
    const { shipping } = repository;
    const cancelled = [shipping.cancel(), shipping.cancel()];
    expect(shipping.isCancelling).toBe(true);
    await Promise.all(cancelled);
    expect(asked('POST ship/cancel')).toHaveLength(1);
    expect(shipping.job?.state).toBe('cancelled');
    expect(shipping.isRunning).toBe(false);
    expect(repository.draft.message).toBe('feat: age');
    repository.dispose();
  });

  it.each([
    ['goes on without us', job({}, 'done', 'running'), true, null],
    [
      'was interrupted with the server',
      job({ state: 'interrupted' }, 'done'),
      false,
      'offline_server'
    ]
  ])('asks what became of a job that %s', async (_, then, isRunning, code) => {
    const feed = new Feed();
    const { repository } = setup({ changes: STAGED }, ({ what }) =>
      what === 'POST ship'
        ? feed.response
        : what === 'GET ship'
          ? json({ job: then })
          : null
    );
    repository.draft.message = 'feat: age';
    const shipped = repository.ship();
    await settled();
    feed.send({ kind: 'job', job: job({}, 'running') });
    feed.breakOff();
    await shipped;
    const { shipping } = repository;
    expect(shipping.job).toEqual(then);
    expect(shipping.isUnheard).toBe(isRunning);
    expect(shipping.error?.code ?? null).toBe(code);
    repository.dispose();
  });

  it('forgets a job that failed', async () => {
    const { asked, repository } = setup({}, ({ what }) =>
      what === 'GET ship'
        ? json({ job: job({ state: 'failed' }, 'failed') })
        : null
    );
    const { shipping } = repository;
    await shipping.load();
    expect(shipping.job?.state).toBe('failed');
    await shipping.forget();
    expect(asked('DELETE ship')[0]!.query).toEqual({ path: 'work/titanic' });
    expect(shipping.job).toBeNull();
    repository.dispose();
  });
});

describe('the plan', () => {
  const plan = (
    news: Partial<IRepositoryState>,
    message = 'feat(prep): impute age',
    options: Partial<IShipOptions> = {}
  ) => {
    const { repository } = setup(news, undefined, options);
    repository.draft.message = message;
    return repository.plan;
  };

  it.each<[string, Partial<IRepositoryState>, object]>([
    [
      'commits, pushes and opens',
      { changes: STAGED },
      { commits: true, pushes: true, request: 'new', missing: null }
    ],
    [
      'takes a partly chosen file along',
      { changes: [change({ staged: 'partly' })] },
      { commits: true, missing: null }
    ],
    ['wants something chosen', { changes: [change()] }, { commits: false }],
    [
      'pushes commits that are there already',
      { ahead: 2 },
      { commits: false, pushes: true, missing: null }
    ],
    [
      'begins a branch where a pull request would go into its own',
      { branch: 'main', changes: STAGED },
      { branch: 'feat/impute-age', missing: null }
    ],
    [
      'begins a branch where none is checked out',
      { branch: null, changes: STAGED },
      { branch: 'feat/impute-age', missing: null }
    ],
    [
      'has nothing to do on a main branch that is as its remote one',
      { branch: 'main', upstream: 'origin/main' },
      { branch: null, missing: 'changes' }
    ],
    [
      'ends at the commit without a remote',
      { remotes: [], upstream: null, changes: STAGED },
      { commits: true, pushes: false, request: 'none', missing: null }
    ],
    [
      'waits for the end of a merge',
      { operation: 'merge', changes: STAGED },
      { missing: 'operation' }
    ]
  ])('%s', (_, news, expected) => {
    expect(plan(news)).toMatchObject(expected);
  });

  it('wants a message, and a name for a branch that needs one', () => {
    expect(plan({ changes: STAGED }, '').missing).toBe('message');
    expect(plan({ branch: null, changes: STAGED }, '!!!').missing).toBe(
      'branch'
    );
  });

  it('opens none against the setting, and stays on the main branch then', () => {
    expect(
      plan({ branch: 'main', changes: STAGED }, 'x', { opensRequest: false })
    ).toMatchObject({ branch: null, request: 'none', missing: null });
  });

  it('does not ship on a branch of which the button did not tell', async () => {
    const { asked, repository } = setup(
      { branch: 'trunk', changes: STAGED },
      ({ what }) =>
        what === 'GET suggestions'
          ? json({ ...SUGGESTED, base: 'trunk' })
          : what === 'POST ship'
            ? stream({ kind: 'job', job: job({ state: 'done' }) })
            : null
    );
    repository.draft.message = 'fix: it';
    expect(repository.plan.branch).toBeNull();
    await repository.ship();
    expect(asked('POST ship')).toHaveLength(0);
    expect(repository.isReplanned).toBe(true);
    expect(repository.plan.branch).toBe('fix/it');
    await repository.ship();
    expect(asked('POST ship')[0]!.body).toMatchObject({ branch: 'fix/it' });
    repository.dispose();
  });
});

describe('undo', () => {
  it('gives the whole message of the commit back', async () => {
    const { repository } = setup({ can_undo: true }, ({ what }) =>
      what === 'POST undo'
        ? json({ state: state({ head: null }), message: 'feat: age\n\nWhy.' })
        : null
    );
    await repository.undo();
    expect(repository.draft.message).toBe('feat: age\n\nWhy.');
    expect(repository.state.head).toBeNull();
    repository.dispose();
  });
});

describe('runs of experiments', () => {
  const runs = ({ what }: IGitCalled) =>
    what === 'GET runs'
      ? json({ runs: ['elk', 'newt'], note: '' })
      : what === 'POST ship'
        ? stream({ kind: 'job', job: job({ state: 'done' }) })
        : null;

  it('are asked of what is chosen, once until that is another', async () => {
    const { repository, asked } = setup({}, runs);
    repository.take(state({ changes: [change()] }));
    expect(asked('GET runs')).toHaveLength(0);
    repository.take(state({ changes: STAGED }));
    repository.take(state({ changes: STAGED, fingerprint: 'two' }));
    await settled();
    expect(asked('GET runs')).toHaveLength(1);
    expect(repository.runs.value?.runs).toEqual(['elk', 'newt']);
    repository.take(state({ changes: [change({ staged: 'yes', added: 9 })] }));
    await settled();
    expect(asked('GET runs')).toHaveLength(2);
    repository.dispose();
  });

  it('stay out where the user wants it so, for this time', async () => {
    const { repository, asked } = setup({ changes: STAGED, remotes: [] }, runs);
    repository.draft.message = 'feat: age';
    repository.draft.change({ isWithoutRuns: true });
    await repository.ship();
    expect(asked('POST ship')[0]!.body).toMatchObject({ with_runs: false });
    expect(repository.draft.wish.isWithoutRuns).toBe(false);
    repository.dispose();
  });
});

describe('a merge or rebase under way', () => {
  it('goes on once no file is in conflict', async () => {
    const { repository, asked } = setup(
      { operation: 'rebase', changes: [change({ kind: 'conflict' })] },
      ({ what }) => (what === 'POST continue' ? json(state()) : null)
    );
    expect(repository.hasConflicts).toBe(true);
    repository.take(state({ operation: 'rebase', changes: [] }));
    expect(repository.hasConflicts).toBe(false);
    await repository.carryOn();
    expect(asked('POST continue')[0]!.body).toEqual({ path: 'work/titanic' });
    expect(repository.state.operation).toBeNull();
    repository.dispose();
  });

  it('is as the server is set up where the user has no wish', async () => {
    const { repository, asked } = setup(
      { behind: 1 },
      ({ what }) => (what === 'POST pull' ? json(state()) : null),
      { how: null }
    );
    await repository.pull();
    expect(asked('POST pull')[0]!.body).toEqual({
      path: 'work/titanic',
      how: null
    });
    repository.dispose();
  });
});

function stream(...events: unknown[]): Response {
  const feed = new Feed();
  feed.send(...events);
  feed.end();
  return feed.response;
}

function error(code: string, message: string) {
  return { error: { code, message } };
}
