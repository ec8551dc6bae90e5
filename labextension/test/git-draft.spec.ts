import { afterEach, describe, expect, it, vi } from 'vitest';

import { Accounts } from '../src/git/accounts';
import { Clones, nameOf } from '../src/git/clones';
import { Draft } from '../src/git/draft';
import { json, settled } from './fakes';
import type { IGitCalled } from './git-fakes';
import { Feed, apiWith } from './git-fakes';

const text = (words: string) => ({ kind: 'text', text: words });
const DONE = { kind: 'done', route: 'ollama/qwen', locality: 'local' };

describe('a suggested message', () => {
  function setup(kept?: { get(): string; set(text: string): void }) {
    const feed = new Feed();
    const { api, calls } = apiWith(() => feed.response);
    return { calls, feed, draft: new Draft(api, 'work/titanic', kept) };
  }

  it('appears as it is written, says by whom, and can be taken back', async () => {
    const { calls, draft, feed } = setup();
    draft.message = 'mine';
    const written = draft.suggest('commit');
    await settled();
    expect(draft.writing).toBe('commit');
    expect(draft.message).toBe('mine');
    feed.send(text('feat: '), text('age\n'));
    await settled();
    expect(draft.message).toBe('feat: age\n');
    feed.send({ ...DONE, text: 'feat: age' });
    feed.end();
    await written;
    expect(calls[0]!.body).toEqual({ path: 'work/titanic', what: 'commit' });
    expect(draft.message).toBe('feat: age');
    expect(draft.by).toBe('ollama/qwen · local');
    expect(draft.undoable).toBe('commit');
    draft.undo();
    expect(draft.message).toBe('mine');
    expect(draft.undoable).toBeNull();
  });

  it('stops, with what was written', async () => {
    const { calls, draft, feed } = setup();
    const written = draft.suggest('commit');
    feed.send(text('feat: a'));
    await settled();
    draft.stop();
    expect(draft.writing).toBeNull();
    expect(calls[0]!.signal.aborted).toBe(true);
    expect(draft.message).toBe('feat: a');
    expect(draft.undoable).toBe('commit');
    feed.breakOff();
    await written;
    expect(draft.error).toBeNull();
  });

  it('is not written over what the user types', async () => {
    const { draft, feed } = setup();
    const written = draft.suggest('commit');
    feed.send(text('feat: a'));
    await settled();
    draft.message = 'feat: all mine';
    feed.send(text('ge'));
    feed.end();
    await written;
    expect(draft.message).toBe('feat: all mine');
    expect(draft.undoable).toBeNull();
  });

  it('is refused where there are secrets, and leaves the field alone', async () => {
    const error = { code: 'secrets_staged', message: 'Secrets first.' };
    const { api } = apiWith(() => json({ error }, 409));
    const draft = new Draft(api, 'work/titanic');
    draft.message = 'mine';
    await draft.suggest('commit');
    expect(draft.error).toMatchObject(error);
    expect(draft.failed).toBe('commit');
    expect(draft.message).toBe('mine');
  });

  it('of a pull request has a title and a text', async () => {
    const { calls, draft, feed } = setup();
    const written = draft.suggest('pull-request', 'main');
    feed.send(text('# Impute age\n\nBy '), text('title.'), DONE);
    feed.end();
    await written;
    expect(calls[0]!.body).toMatchObject({ base: 'main' });
    expect(draft.wish).toMatchObject({
      title: 'Impute age',
      body: 'By title.'
    });
    draft.undo();
    expect(draft.wish).toMatchObject({ title: null, body: null });
  });

  it('survives a reload of the page, until it is shipped', () => {
    let saved = 'feat: kept';
    const kept = { get: () => saved, set: (to: string) => (saved = to) };
    const { draft } = setup(kept);
    expect(draft.message).toBe('feat: kept');
    draft.message = 'feat: more';
    expect(saved).toBe('feat: more');
    draft.clear('feat: other');
    expect(saved).toBe('feat: more');
    draft.clear('feat: more');
    expect(saved).toBe('');
  });
});

describe('an import', () => {
  const QUESTION = {
    ...{ url: 'https://github.com/ana/titanic.git', folder: 'work' },
    mode: 'auto'
  } as const;

  it('tells how far it is and what to open', async () => {
    const feed = new Feed();
    const { api, calls } = apiWith(() => feed.response);
    const clones = new Clones(api);
    const arrived: unknown[] = [];
    clones.arrived.connect((_, clone) => arrived.push(clone.open));
    const done = clones.start(QUESTION);
    const progress = { kind: 'progress', phase: 'Receiving', percent: 40 };
    feed.send({ ...progress, text: 'Receiving objects: 40%' });
    await settled();
    expect(clones.current).toMatchObject({
      ...{ name: 'titanic', state: 'running', percent: 40 }
    });
    feed.send({
      ...{ kind: 'done', path: 'work/titanic', open: 'README.md', notes: [] }
    });
    feed.end();
    await done;
    expect(calls[0]!.body).toEqual(QUESTION);
    expect(clones.current?.state).toBe('done');
    expect(arrived).toEqual(['README.md']);
  });

  it('is cancelled, and is not there then', async () => {
    const feed = new Feed();
    const { api, calls } = apiWith(() => feed.response);
    const clones = new Clones(api);
    void clones.start(QUESTION);
    await settled();
    clones.stop();
    await settled();
    expect(calls[0]!.signal.aborted).toBe(true);
    expect(clones.current).toBeNull();
    expect(clones.isRunning).toBe(false);
  });

  it('says why it failed', async () => {
    const error = { code: 'authentication_failed', message: 'Sign in.' };
    const { api } = apiWith(() => json({ error }, 409));
    const clones = new Clones(api);
    await clones.start(QUESTION);
    expect(clones.current).toMatchObject({ state: 'failed', error });
  });

  it.each([
    ['https://github.com/ana/titanic.git', 'titanic'],
    ['https://github.com/ana/titanic/', 'titanic'],
    ['git@github.com:ana/ti.tanic.git', 'ti.tanic']
  ])('of %s is called %s', (url, name) => {
    expect(nameOf({ ...QUESTION, url })).toBe(name);
  });
});

describe('accounts', () => {
  afterEach(() => void vi.useRealTimers());

  /** Let some time go by that nobody has to wait for. */
  const later = async (work: Promise<void>) => {
    await vi.advanceTimersByTimeAsync(10_000);
    await work;
  };

  const TOKEN = 'ghp_very_secret';
  const CODE = {
    ...{
      id: 'd/1',
      user_code: 'ABCD-1234',
      verification_uri: 'https://x.test'
    },
    ...{ interval_s: 0, expires_in_s: 900 }
  };
  const account = (source: string, problem: string | null = null) => ({
    ...{ host: 'github.com', kind: 'github', url: 'https://github.com' },
    ...{ login: 'ana', name: null, email: null, can_use_device: true },
    ...{ source, problem }
  });

  function setup(answer: (called: IGitCalled) => Response | null = () => null) {
    const { api, calls } = apiWith(
      called =>
        answer(called) ??
        (called.what === 'GET accounts'
          ? json({ accounts: [account('keyring')] })
          : null)
    );
    return { accounts: new Accounts(api), calls };
  }

  it('send a token and keep nothing of it', async () => {
    const { accounts, calls } = setup();
    await accounts.add('github.com', 'github', TOKEN);
    expect(calls[0]!.body).toEqual({
      ...{ host: 'github.com', kind: 'github', token: TOKEN }
    });
    expect(accounts.usable).toHaveLength(1);
    expect(JSON.stringify(accounts.list.value)).not.toContain(TOKEN);
  });

  it('are of use only where someone is signed in', async () => {
    const { accounts } = setup(({ what }) =>
      what === 'GET accounts'
        ? json({ accounts: [account('none'), account('hub', 'Expired.')] })
        : null
    );
    await accounts.list.load();
    expect(accounts.usable).toEqual([]);
  });

  it('are signed in with a code, which is asked for until it is typed', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const states = ['waiting', 'done'];
    const { accounts, calls } = setup(({ what }) =>
      what === 'POST accounts/device'
        ? json(CODE)
        : what === 'POST accounts/device/d%2F1'
          ? json({ state: states.shift(), account: null })
          : null
    );
    const codes = new Set<string>();
    accounts.changed.connect(() =>
      codes.add(accounts.flow?.code?.user_code ?? '')
    );
    await later(accounts.signIn('github.com'));
    expect(states).toEqual([]);
    expect(codes).toContain('ABCD-1234');
    expect(accounts.flow).toBeNull();
    expect(calls.at(-1)!.what).toBe('GET accounts');
  });

  it('say when the user refused', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { accounts } = setup(({ what }) =>
      what === 'POST accounts/device'
        ? json(CODE)
        : json({ state: 'denied', account: null })
    );
    await later(accounts.signIn('github.com'));
    expect(accounts.flow?.state).toBe('denied');
  });

  it('wait no longer when that is not wanted any more', async () => {
    const { accounts, calls } = setup(({ what }) =>
      what === 'POST accounts/device' ? json(CODE) : null
    );
    const signedIn = accounts.signIn('github.com');
    await settled();
    accounts.stop();
    await signedIn;
    expect(accounts.flow).toBeNull();
    expect(calls).toHaveLength(1);
  });
});
