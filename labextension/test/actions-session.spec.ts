import type { Widget } from '@lumino/widgets';
import { DisposableDelegate } from '@lumino/disposable';
import { afterEach, describe, expect, it } from 'vitest';

import type { IContextQuestion } from '../src/ai/context/wire';
import { ActionsApi } from '../src/actions/api';
import { differ } from '../src/actions/diff';
import { apply } from '../src/actions/hunks';
import { isModulePath, moduleFor } from '../src/actions/modules';
import type { IFiles } from '../src/actions/draft';
import type { ISessionOptions } from '../src/actions/session';
import { ActionSession, LONGEST } from '../src/actions/session';
import type {
  IInsertion,
  IReplacement,
  ISite,
  IWrittenCells
} from '../src/actions/site';
import type { ActionEvent, IChange } from '../src/actions/wire';
import type { ICalled } from './fakes';
import { serverWith, settled, trans } from './fakes';

/** An answer that comes when told to. */
class Answer {
  constructor(readonly called: ICalled) {
    called.signal.addEventListener('abort', () => {
      this.isAborted = true;
      this._controller.error(called.signal.reason);
    });
    this.response = new Response(
      new ReadableStream<Uint8Array>({
        start: controller => void (this._controller = controller)
      }),
      { headers: { 'X-AIDP-Route': 'qwen', 'X-AIDP-Locality': 'local' } }
    );
  }

  isAborted = false;
  readonly response: Response;

  send(...events: readonly unknown[]): Promise<void> {
    for (const event of events) {
      this._write(JSON.stringify(event));
    }
    return settled();
  }

  end(...events: readonly unknown[]): Promise<void> {
    void this.send(...events);
    this._write('[DONE]');
    this._controller.close();
    return settled();
  }

  private _write(data: string): void {
    this._controller.enqueue(new TextEncoder().encode(`data: ${data}\n\n`));
  }

  private _controller!: ReadableStreamDefaultController<Uint8Array>;
}

/** A document in memory. */
class FakeSite implements ISite {
  constructor(readonly texts: Record<string, string>) {}

  readonly widget = {} as Widget;
  readonly path = 'a.ipynb';
  readonly theme = '';
  readonly codeMimeType = 'text/x-python';
  readonly canRun = true;
  readonly isReady = true;
  readonly ready = Promise.resolve();
  readonly writes: (readonly [
    readonly IReplacement[],
    readonly IInsertion[]
  ])[] = [];
  readonly ran: (readonly string[])[] = [];
  isReadOnly = false;
  watchers = new Set<() => void>();

  source = (cell: string) => this.texts[cell] ?? null;
  label = (cell: string) => cell;
  canWrite = () => !this.isReadOnly;
  isCode = () => true;
  selection = () => ({ start: 1, end: 2 });
  mimeType = () => 'text/x-python';
  attach = () => undefined;
  focus = () => undefined;
  run = (cells: readonly string[]) => {
    this.ran.push(cells);
    return Promise.resolve();
  };

  watch(_: readonly string[], changed: () => void) {
    this.watchers.add(changed);
    return new DisposableDelegate(() => this.watchers.delete(changed));
  }

  write(
    replacements: readonly IReplacement[],
    insertions: readonly IInsertion[]
  ): IWrittenCells {
    const before = { ...this.texts };
    this.writes.push([replacements, insertions]);
    for (const { cell, hunks } of replacements) {
      this.texts[cell] = apply(this.texts[cell]!, hunks);
    }
    return {
      cells: replacements.map(({ cell }) => cell),
      undo: () => {
        Object.assign(this.texts, before);
        return true;
      }
    };
  }

  /** Somebody else changes a text; null takes it away. */
  set(cell: string, text: string | null): void {
    if (text === null) {
      delete this.texts[cell];
    } else {
      this.texts[cell] = text;
    }
    this.watchers.forEach(changed => changed());
  }
}

const CHANGE: IChange = {
  kind: 'replace',
  source: 'a = 1\nb = 2\n',
  original: 'a = 1\nb = \n',
  cell: 'c1',
  path: 'a.ipynb',
  cell_type: 'code',
  why: ''
};
const DONE: ActionEvent = {
  type: 'done',
  call: 'x',
  route: 'qwen',
  locality: 'local',
  reason: '',
  cost_usd: null,
  prompt_tokens: 1,
  completion_tokens: 1
};

function proposal(...changes: readonly Partial<IChange>[]): ActionEvent {
  return {
    type: 'proposal',
    title: 'Fix',
    why: '',
    changes: changes.map(change => ({ ...CHANGE, ...change })),
    run: null
  };
}

const sessions: ActionSession[] = [];
afterEach(() => sessions.splice(0).forEach(session => session.dispose()));

function started(options: Partial<ISessionOptions> = {}) {
  const site = new FakeSite({ c1: CHANGE.original, c2: 'x' });
  const answers: Answer[] = [];
  const { server } = serverWith(called => {
    const answer = new Answer(called);
    answers.push(answer);
    return answer.response;
  });
  const disk: Record<string, string> = {};
  const log: string[] = [];
  const undone: (() => Promise<boolean> | boolean)[] = [];
  const files: IFiles & { mayReplace: boolean } = {
    mayReplace: true,
    save: path => {
      log.push(`saved ${path}`);
      return Promise.resolve();
    },
    offerUndo: (message, undo) => {
      log.push(message);
      undone.push(undo);
    },
    read: path => Promise.resolve(disk[path] ?? null),
    write: (path, text, before) => {
      if (before !== null && !files.mayReplace) {
        return Promise.resolve(null);
      }
      disk[path] = text;
      return Promise.resolve(() => delete disk[path]);
    }
  };
  const session = new ActionSession({
    action: 'fix',
    site,
    cell: 'c1',
    instruction: '',
    api: new ActionsApi(server),
    model: {
      track: () => ({
        answeredBy: ({ route }) => log.push(`by ${route}`),
        arrived: () => undefined,
        done: () => log.push('done'),
        failed: ({ code }) => log.push(`failed ${code}`),
        cancelled: () => log.push('cancelled')
      })
    },
    files,
    question: query => ({ query }) as IContextQuestion,
    privacy: () => null,
    loadDiffer: () => Promise.resolve(differ),
    report: (route, outcome) => log.push(`${outcome} ${route}`),
    trans,
    ...options
  });
  sessions.push(session);
  const finished: boolean[] = [];
  session.finished.connect((_, { isWritten }) => finished.push(isWritten));
  return { session, site, answers, files, disk, log, finished, undone };
}

async function proposed(...changes: readonly Partial<IChange>[]) {
  const all = started();
  await settled();
  await all.answers[0]!.end(proposal(...changes), DONE);
  return all;
}

describe('asking', () => {
  it('says what is to be done, to what, and how far it has come', async () => {
    const { session, answers, log } = started();
    await settled();
    expect(answers[0]!.called.path).toMatch(/aidp\/ai\/actions$/);
    expect(answers[0]!.called.body).toMatchObject({
      action: 'fix',
      selection: { start: 1, end: 2 },
      instruction: ''
    });
    await answers[0]!.send(
      { type: 'context', summary: '2 cells', items: [], withheld: [] },
      { type: 'text', text: 'It is ' },
      { type: 'text', text: 'a typo.' },
      { type: 'code', text: 'b = 2' }
    );
    expect(session.phase).toBe('asking');
    expect(session.context!.summary).toBe('2 cells');
    expect(session.text).toBe('It is a typo.');
    expect(session.code).toBe('b = 2');
    expect(log).toEqual(['by qwen']);
  });

  it('waits for the words of an edit', async () => {
    const { session, answers } = started({ action: 'edit' });
    await settled();
    expect(session.phase).toBe('instructing');
    expect(answers).toHaveLength(0);
    void session.ask('shorter');
    await settled();
    expect(answers[0]!.called.body).toMatchObject({ instruction: 'shorter' });
  });

  it('ends the request when it is stopped, and keeps what has come', async () => {
    const { session, answers, log } = started();
    await settled();
    await answers[0]!.send({ type: 'text', text: 'Half' });
    session.stop();
    await settled();
    expect(answers[0]!.isAborted).toBe(true);
    expect(session.phase).toBe('answered');
    expect(session.isStopped).toBe(true);
    expect(session.text).toBe('Half');
    expect(log).toEqual(['by qwen', 'cancelled']);
  });

  it('ends the request when its cell goes', async () => {
    const { session, answers } = started();
    await settled();
    session.dispose();
    await settled();
    expect(answers[0]!.isAborted).toBe(true);
  });

  it('ends an answer that does not', async () => {
    const { session, answers } = started();
    await settled();
    await answers[0]!.send({ type: 'text', text: 'x'.repeat(LONGEST + 1) });
    expect(session.error!.code).toBe('endless_answer');
    expect(answers[0]!.isAborted).toBe(true);
  });

  it('shows the words of a model that proposed nothing, and asks again', async () => {
    const { session, answers, log } = started();
    await settled();
    await answers[0]!.end(
      { type: 'text', text: 'I am a teapot.' },
      { error: { code: 'no_proposal', message: 'Nothing.', details: {} } }
    );
    expect(session.phase).toBe('failed');
    expect(session.error!.code).toBe('no_proposal');
    expect(session.text).toBe('I am a teapot.');
    expect(log).toContain('failed no_proposal');
    session.retry();
    await settled();
    expect(session.text).toBe('');
    await answers[1]!.end(proposal({}), DONE);
    expect(session.phase).toBe('reviewing');
  });

  it('says when the model would change nothing', async () => {
    const { session } = await proposed({ source: CHANGE.original });
    expect(session.error!.code).toBe('no_change');
  });

  it('leaves an explanation to be read', async () => {
    const { session, answers } = started({ action: 'explain' });
    await settled();
    await answers[0]!.end({ type: 'text', text: 'It sums.' }, DONE);
    expect(session.phase).toBe('answered');
    expect(session.isStopped).toBe(false);
    expect(session.done!.route).toBe('qwen');
  });
});

describe('a proposal', () => {
  it('touches nothing until it is accepted, then once', async () => {
    const { session, site, log, finished } = await proposed({});
    expect(session.phase).toBe('reviewing');
    expect(site.writes).toHaveLength(0);
    await session.decide('accepted');
    expect(site.writes).toHaveLength(1);
    expect(site.texts['c1']).toBe(CHANGE.source);
    expect(site.ran).toEqual([]);
    expect(finished).toEqual([true]);
    expect(log).toContain('accepted qwen');
  });

  it('touches nothing when it is rejected', async () => {
    const { session, site, log, finished } = await proposed({});
    await session.decide('rejected');
    expect(site.writes).toHaveLength(0);
    expect(finished).toEqual([false]);
    expect(log).toContain('rejected qwen');
    session.dispose();
    expect(site.watchers.size).toBe(0);
  });

  it('is run after it is accepted, if that is wanted', async () => {
    const { session, site } = await proposed({});
    await session.decide('accepted', 'rest', true);
    expect(site.ran).toEqual([['c1']]);
  });

  it('is run with the cell that failed, last, where the cause was in others', async () => {
    const cause = { cell: 'c2', original: 'x', source: 'y' };
    for (const changes of [[cause], [{}, cause]]) {
      const { session, site } = await proposed(...changes);
      await session.decide('accepted', 'rest', true);
      expect(site.ran).toEqual([['c2', 'c1']]);
    }
  });

  it('changes several cells at once, when all is decided', async () => {
    const { session, site } = await proposed(
      {},
      { cell: 'c2', original: 'x', source: 'y' },
      { kind: 'insert_below', original: '', source: '# new' }
    );
    await session.decide('accepted');
    await session.decide('rejected');
    expect(site.writes).toHaveLength(0);
    await session.decide('accepted');
    expect(site.writes).toHaveLength(1);
    const [replacements, insertions] = site.writes[0]!;
    expect(replacements.map(({ cell }) => cell)).toEqual(['c1']);
    expect(insertions).toEqual([
      { cell: 'c1', where: 'insert_below', type: 'code', source: '# new' }
    ]);
    expect(site.texts['c2']).toBe('x');
  });

  it('follows a text that changes elsewhere', async () => {
    const { session, site } = await proposed({});
    site.set('c1', `# mine\n${CHANGE.original}`);
    expect(session.phase).toBe('reviewing');
    await session.decide('accepted');
    expect(site.texts['c1']).toBe(`# mine\n${CHANGE.source}`);
  });

  it('is void when the same lines change', async () => {
    const { session, site } = await proposed({});
    site.set('c1', 'a = 1\nb = 3\n');
    expect(session.phase).toBe('failed');
    expect(session.error!.code).toBe('changed_since');
    await session.decide('accepted');
    expect(site.texts['c1']).toBe('a = 1\nb = 3\n');
  });

  it('is void when the text had changed before it came', async () => {
    const all = started();
    await settled();
    all.site.set('c1', 'something else');
    await all.answers[0]!.end(proposal({}), DONE);
    expect(all.session.error!.code).toBe('changed_since');
  });

  it('is void when its cell goes', async () => {
    const { session, site } = await proposed({});
    site.set('c1', null);
    expect(session.error!.code).toBe('gone');
  });

  it('does not change what is read-only', async () => {
    const { session, site } = await proposed({});
    site.isReadOnly = true;
    await session.decide('accepted');
    expect(session.error!.code).toBe('read_only');
    expect(site.writes).toHaveLength(0);
  });
});

describe('what was accepted', () => {
  it('is taken back at once where it is more than one text', async () => {
    const { session, site, log, undone } = await proposed(
      {},
      { cell: 'c2', original: 'x', source: 'y' }
    );
    const before = { ...site.texts };
    await session.decide('accepted', 'rest');
    expect(site.texts).not.toEqual(before);
    expect(log).toContain('Accepted: Cell c1, Cell c2');
    expect(await undone[0]!()).toBe(true);
    expect(site.texts).toEqual(before);
  });

  it('leaves one text to the undo of its editor', async () => {
    const { session, undone } = await proposed({});
    await session.decide('accepted');
    expect(undone).toHaveLength(0);
  });
});

describe('a text with other line ends than the proposal', () => {
  it('keeps them', async () => {
    const all = started();
    all.site.texts['c1'] = CHANGE.original.replaceAll('\n', '\r\n');
    await settled();
    await all.answers[0]!.end(proposal({}), DONE);
    expect(all.session.review!.count).toBe(1);
    await all.session.decide('accepted');
    expect(all.site.texts['c1']).toBe(CHANGE.source.replaceAll('\n', '\r\n'));
  });
});

describe('a change of another file', () => {
  it('is made there and not in the document', async () => {
    const all = started();
    all.disk['b.py'] = CHANGE.original;
    await settled();
    await all.answers[0]!.end(proposal({ path: 'b.py', cell: 'c1' }), DONE);
    await all.session.decide('accepted');
    expect(all.disk['b.py']).toBe(CHANGE.source);
    expect(all.site.texts['c1']).toBe(CHANGE.original);
  });
});

describe('a new module', () => {
  it('is asked for by its path', async () => {
    const { session, answers } = started({ action: 'module' });
    await settled();
    expect(session.phase).toBe('instructing');
    void session.ask('lib/stats.py');
    await settled();
    expect(answers[0]!.called.body).toMatchObject({
      action: 'convert',
      instruction: '',
      path_for_new_file: 'lib/stats.py'
    });
  });

  it('has a name that fits what it defines', () => {
    const site = new FakeSite({ c1: 'x = 1\nclass MeanOf:\n  pass', c2: 'x' });
    expect(moduleFor(site, 'c1')).toBe('mean_of.py');
    expect(moduleFor(site, 'c2')).toBe('module.py');
  });

  it.each(['../a.py', '/a.py', '.a.py', 'a/.b/c.py', 'a.txt', '', 'a\\b.py'])(
    'cannot be at %j',
    path => expect(isModulePath(path)).toBe(false)
  );
});

describe('a new file', () => {
  const FILE: Partial<IChange> = {
    kind: 'create_file',
    cell: '',
    original: '',
    path: 'tests/test_a.py',
    source: 'def test():\n    pass\n'
  };

  it('is written when it is accepted', async () => {
    const { session, disk } = await proposed(FILE);
    expect(disk).toEqual({});
    await session.decide('accepted');
    expect(disk['tests/test_a.py']).toBe(FILE.source);
  });

  it('is shown against what is there', async () => {
    const all = started();
    all.disk['tests/test_a.py'] = 'old\n';
    await settled();
    await all.answers[0]!.end(proposal(FILE), DONE);
    expect(all.session.review!.part.original).toBe('old\n');
    all.files.mayReplace = false;
    await all.session.decide('accepted');
    expect(all.disk['tests/test_a.py']).toBe('old\n');
  });

  it('does not replace a file that changed since it was shown', async () => {
    const { session, disk } = await proposed(FILE);
    disk['tests/test_a.py'] = 'made meanwhile';
    await session.decide('accepted');
    expect(session.error!.code).toBe('changed_since');
    expect(disk['tests/test_a.py']).toBe('made meanwhile');
  });

  it('leaves the notebook alone when the file cannot be written', async () => {
    const { session, site, disk } = await proposed({}, FILE);
    disk['tests/test_a.py'] = 'made meanwhile';
    await session.decide('accepted', 'rest');
    expect(site.writes).toHaveLength(0);
  });
});

describe('tests that were written', () => {
  async function applied() {
    const all = started({ action: 'tests' });
    await settled();
    const path = 'tests/test_a.py';
    await all.answers[0]!.end(
      {
        ...proposal({ kind: 'create_file', cell: '', path, source: 'x\n' }),
        run: { kind: 'tests', path }
      },
      DONE
    );
    await all.session.decide('accepted');
    return all;
  }

  it('are run when asked to, and say how that went', async () => {
    const { session, answers, finished, log } = await applied();
    expect(session.phase).toBe('applied');
    expect(finished).toEqual([]);
    expect(answers).toHaveLength(1);
    session.runTests();
    await settled();
    const run = answers[1]!;
    expect(log.slice(-2)).toEqual(['saved tests/test_a.py', 'saved a.ipynb']);
    expect(run.called.path).toMatch(/aidp\/ai\/actions\/run-tests$/);
    expect(run.called.body).toEqual({ path: 'tests/test_a.py' });
    await run.send({ type: 'line', text: 'collected 1 item' });
    expect(session.tests!.isRunning).toBe(true);
    await run.end(
      { type: 'line', text: '.' },
      { type: 'ended', passed: true, exit: 0, summary: '1 passed' }
    );
    expect(session.tests!.lines).toEqual(['collected 1 item', '.']);
    expect(session.tests!.ended!.summary).toBe('1 passed');
    expect(session.tests!.isRunning).toBe(false);
  });

  it('end with Stop', async () => {
    const { session, answers } = await applied();
    session.runTests();
    await settled();
    session.tests!.stop();
    await settled();
    expect(answers[1]!.isAborted).toBe(true);
    expect(session.tests!.isRunning).toBe(false);
    expect(session.tests!.error).toBeNull();
  });

  it('say why they cannot run', async () => {
    const { session, answers } = await applied();
    session.runTests();
    await settled();
    await answers[1]!.end({
      error: { code: 'not_installed', message: 'No pytest.', details: {} }
    });
    expect(session.tests!.error!.code).toBe('not_installed');
  });
});
