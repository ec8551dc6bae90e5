import type {
  IAttachment,
  IChatModel,
  IInputModel,
  IMessageContent,
  IMessageMetadata,
  INewMessage
} from '@jupyter/chat';
import { Signal } from '@lumino/signaling';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { IContextGatherer, IContextWish } from '../src/ai/context/tokens';
import type {
  ICellSaid,
  IContext,
  IContextItem,
  IContextQuestion
} from '../src/ai/context/wire';
import { ChatContext, NOTHING } from '../src/chat/context';
import {
  isMentionable,
  mention,
  mentionsIn,
  withCellIds
} from '../src/chat/mentions';
import { Outbox } from '../src/chat/outbox';
import { isForAidp, personaIn } from '../src/chat/persona';
import { MentionProvider } from '../src/chat/provider';
import {
  hostOf,
  isData,
  isPlainStyle,
  withoutDiagrams,
  withoutRemotePicture
} from '../src/chat/safe';
import type { ISentContext } from '../src/chat/wire';
import { trans } from './fakes';

const OURS = 'jupyter-ai-personas::aidp_ext::AidpPersona';

const cell = (id: string, source: string): ICellSaid => ({
  id,
  type: 'code',
  source,
  count: 1,
  outputs: [{ kind: 'text', text: `out of ${id}` }]
});

const question = (wish: IContextWish): IContextQuestion => ({
  task: wish.task,
  query: wish.query ?? '',
  mentions: wish.mentions ?? [],
  budget: 1000,
  keep: wish.keep ?? false,
  document: {
    path: 'a.ipynb',
    kind: 'notebook',
    language: 'python',
    active: 'b',
    cells: [cell('a', 'import pandas'), cell('b', 'df.head()')]
  },
  kernel: {
    language: 'python',
    state: 'idle',
    taken_at: null,
    allows_values: false,
    variables: [
      { name: 'n', type: 'int' },
      {
        name: 'df',
        type: 'DataFrame',
        shape: [891, 12],
        columns: [{ name: 'age', dtype: 'float64' }]
      }
    ]
  },
  open: [{ path: 'prep.py', text: 'x = 1', language: 'python' }]
});

describe('mentions', () => {
  it('are not made of a name that would mention something else', () => {
    for (const name of ['x" @file:keys.py', 'a\n@df:b', '"', 'x@y"z']) {
      expect(isMentionable('file', name)).toBe(false);
    }
    for (const name of ['a.py', 'a b.py', "it's.py", 'x @file:y', '@df:b']) {
      expect(isMentionable('file', name)).toBe(true);
    }
  });

  it('are read from a message once each, with quotes where names have spaces', () => {
    expect(
      mentionsIn(
        'See @file:"a b.py", @cell:4 and @df:people. (@cell:4) @run:1a2b?'
      )
    ).toEqual(['file:a b.py', 'cell:4', 'df:people', 'run:1a2b']);
  });

  it('are not found in addresses, in code or in words that only look alike', () => {
    expect(mentionsIn('ana@file:x.org `@df:a` @cells:4 @file: x')).toEqual([]);
  });

  it('keep dots inside a name and drop those after it', () => {
    expect(mentionsIn('what of @file:src/prep.v2.py...')).toEqual([
      'file:src/prep.v2.py'
    ]);
  });

  it('are written so that they can be read again', () => {
    for (const name of ['prep.py', 'a b.py', "it's.py", 'odd.', 'x)']) {
      expect(mentionsIn(`about ${mention('file', name)} please`)).toEqual([
        `file:${name}`
      ]);
    }
  });

  it('name a cell by its place or by its id', () => {
    const cells = [{ id: 'a' }, { id: '1' }];
    expect(withCellIds(['cell:1', 'cell:2', 'cell:9', 'df:1'], cells)).toEqual([
      'cell:1',
      'cell:1',
      'cell:9',
      'df:1'
    ]);
    expect(withCellIds(['cell:1'], [{ id: 'a' }])).toEqual(['cell:a']);
  });

  it('stop at twenty, so that a pasted text names no hundreds', () => {
    const many = Array.from({ length: 50 }, (_, i) => `@cell:${i}`).join(' ');
    expect(mentionsIn(many)).toHaveLength(20);
  });
});

describe('a message', () => {
  it.each([
    [{}, true],
    [{ to_persona: OURS }, true],
    [{ to_persona: null }, false],
    [{ to_persona: 'jupyter-ai-personas::other::Persona' }, false]
  ])('with %o is for aidp: %s', (metadata, expected) => {
    expect(isForAidp(metadata)).toBe(expected);
  });
});

describe('the persona of a chat', () => {
  class Session {
    ready = false;
    personas: { id: string }[] = [];
    changed = new Signal<Session, void>(this);
    tell(...ids: string[]) {
      this.ready = true;
      this.personas = ids.map(id => ({ id }));
      this.changed.emit();
    }
  }

  it('is waited for, and found among others', async () => {
    const session = new Session();
    const found = personaIn(session as never);
    session.tell('jupyter-ai-personas::other::Persona', OURS);
    expect(await found).toBe(OURS);
  });

  it('is left to the server where it is not told of in time', async () => {
    vi.useFakeTimers();
    const found = personaIn(new Session() as never);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await found).toBeNull();
    vi.useRealTimers();
  });
});

class FakeInput {
  value = '';
  attachments: IAttachment[] = [];
  mentions = [];
  metadata: IMessageMetadata = { to_persona: OURS };
  currentWord: string | null = null;
  plain: string[] = [];
  send = (body: string) => void this.plain.push(body);
  addAttachment = (one: IAttachment) => void this.attachments.push(one);
  clearAttachments = () => void (this.attachments = []);
  clearMentions = () => void (this.mentions = []);
  getMetadata = () => this.metadata;
}

/** A chat whose server says each message back, unless the connection is lost. */
class FakeChat {
  input = new FakeInput();
  ready = Promise.resolve('chat-1');
  messages: IMessageContent[] = [];
  sent: INewMessage[] = [];
  isConnected = true;
  messagesUpdated = new Signal<FakeChat, void>(this);
  disposed = new Signal<FakeChat, void>(this);

  sendMessage(message: INewMessage): string {
    this.sent.push(message);
    const id = `m${this.sent.length}`;
    if (this.isConnected) {
      this.messages.push({
        id,
        body: message.body ?? '',
        time: 0,
        sender: { username: 'ana' }
      });
      this.messagesUpdated.emit();
    }
    return id;
  }
}

const told: ISentContext = { context: 'q1', summary: '1 cell', items: [] };

function outbox(
  context: (body: string) => Promise<ISentContext> = () => Promise.resolve(told)
) {
  const chat = new FakeChat();
  const lost = vi.fn();
  const box = new Outbox(chat as unknown as IChatModel, {
    context,
    isOurs: isForAidp,
    persona: () => Promise.resolve(OURS),
    lost
  });
  return { chat, box, lost, input: chat.input };
}

describe('sending', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('frees the input at once and adds what goes along', async () => {
    const { chat, input } = outbox();
    input.value = 'why?';
    input.attachments = [{ type: 'file', value: 'a.py' }];
    input.send('why?');
    expect(input.value).toBe('');
    expect(input.attachments).toEqual([]);
    await vi.advanceTimersByTimeAsync(0);
    expect(chat.sent).toEqual([
      {
        body: 'why?',
        attachments: [{ type: 'file', value: 'a.py' }],
        metadata: { to_persona: OURS, aidp: told }
      }
    ]);
  });

  it('keeps the order of two messages though the first waits longer', async () => {
    const waits: ((context: ISentContext) => void)[] = [];
    const { chat, input } = outbox(
      () => new Promise(resolve => waits.push(resolve))
    );
    input.send('one');
    input.send('two');
    waits[1]!(told);
    await vi.advanceTimersByTimeAsync(0);
    expect(chat.sent).toEqual([]);
    waits[0]!(told);
    await vi.advanceTimersByTimeAsync(0);
    expect(chat.sent.map(({ body }) => body)).toEqual(['one', 'two']);
  });

  it('sends nothing twice when Enter is pressed twice', async () => {
    const { chat, input } = outbox();
    input.value = 'hello';
    input.send(input.value);
    input.send(input.value);
    await vi.advanceTimersByTimeAsync(0);
    expect(chat.sent).toHaveLength(1);
  });

  it('is addressed where the picker has not done so yet', async () => {
    const { chat, box, input } = outbox();
    input.metadata = {};
    input.send('first words of a new chat');
    await box.send({ body: 'and asked for' });
    expect(chat.sent.map(({ metadata }) => metadata!['to_persona'])).toEqual([
      OURS,
      OURS
    ]);
  });

  it('leaves messages for others alone', async () => {
    const { chat, input } = outbox();
    input.metadata = { to_persona: null };
    input.send('to whom it may concern');
    await vi.advanceTimersByTimeAsync(0);
    expect(input.plain).toEqual(['to whom it may concern']);
    expect(chat.sent).toEqual([]);
  });

  it('puts a message that did not arrive back before what was written since', async () => {
    const { chat, input, lost } = outbox();
    chat.isConnected = false;
    input.send('lost words');
    await vi.advanceTimersByTimeAsync(0);
    input.value = 'more';
    await vi.advanceTimersByTimeAsync(10_000);
    expect(lost).toHaveBeenCalledOnce();
    expect(input.value).toBe('lost words\nmore');
  });

  it('does not call a message lost that arrives late, or whose chat is closed', async () => {
    const { chat, input, lost } = outbox();
    chat.isConnected = false;
    input.send('late');
    await vi.advanceTimersByTimeAsync(9000);
    chat.messages.push({
      id: 'm1',
      body: 'late',
      time: 0,
      sender: { username: 'ana' }
    });
    chat.messagesUpdated.emit();
    input.send('closed');
    await vi.advanceTimersByTimeAsync(0);
    chat.disposed.emit();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(lost).not.toHaveBeenCalled();
  });
});

const item = (kind: IContextItem['kind'], id: string): IContextItem => ({
  kind,
  id,
  label: `${kind} ${id}`,
  characters: 10,
  why: ''
});

function chatContext(
  choose: (question: IContextQuestion, signal: AbortSignal) => Promise<IContext>
) {
  const gatherer = {
    question,
    kernel: () => null,
    look: () => Promise.resolve()
  } as unknown as IContextGatherer;
  const kept = { load: () => Promise.resolve(true), save: vi.fn() };
  const context = new ChatContext({
    gatherer,
    choose,
    isSeen: () => true,
    kept: { ...kept, save: kept.save.mockResolvedValue(undefined) }
  });
  return { context, kept };
}

const answer = (items: IContextItem[]): IContext => ({
  text: 'secret text',
  items,
  summary: '1 cell',
  withheld: [],
  paths: [],
  secrets: 0,
  id: 'q7'
});

describe('what goes along', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('is named in the message, and its text is not in it', async () => {
    const choose = vi.fn<(question: IContextQuestion) => Promise<IContext>>(
      () => Promise.resolve(answer([item('cell', 'a')]))
    );
    const { context } = chatContext(choose);
    expect(await context.take('see @cell:1')).toEqual({
      context: 'q7',
      summary: '1 cell',
      items: [{ kind: 'cell', id: 'a', label: 'cell a' }]
    });
    expect(choose.mock.calls[0]![0]).toMatchObject({
      task: 'chat',
      query: 'see @cell:1',
      keep: true,
      mentions: ['cell:a']
    });
  });

  it('does not hold a message up for long', async () => {
    vi.useRealTimers();
    const { context } = chatContext(() => new Promise(() => {}));
    const began = performance.now();
    expect(await context.take('hello')).toBe(NOTHING);
    expect(performance.now() - began).toBeLessThan(5000);
  });

  it('is nothing where the server fails, and the message still goes', async () => {
    const { context } = chatContext(() => Promise.reject(new Error('down')));
    expect(await context.take('hello')).toBe(NOTHING);
  });

  it('is asked for once the words rest, not at each key', async () => {
    const choose = vi.fn<(question: IContextQuestion) => Promise<IContext>>(
      () => Promise.resolve(answer([item('cell', 'a')]))
    );
    const { context } = chatContext(choose);
    for (const draft of ['w', 'wh', 'why']) {
      context.draft = draft;
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(choose).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1000);
    expect(choose).toHaveBeenCalledOnce();
    expect(choose.mock.calls[0]![0]).toMatchObject({
      query: 'why',
      keep: false
    });
    expect(context.items).toHaveLength(1);
  });

  it('leaves out of one message what was taken out, and tells it again with the next', async () => {
    const choose = vi.fn<(question: IContextQuestion) => Promise<IContext>>(
      () => Promise.resolve(answer([item('cell', 'a')]))
    );
    const { context } = chatContext(choose);
    context.refresh();
    await vi.advanceTimersByTimeAsync(1000);
    context.exclude(context.items![0]!);
    expect(context.items).toEqual([]);
    expect(context.excluded).toBe(1);
    choose.mockClear();
    await context.take('one');
    await context.take('two');
    expect(choose.mock.calls.map(([{ exclude }]) => exclude)).toEqual([
      ['cell:a'],
      []
    ]);
  });

  it('is nothing, and the server is not asked, once it is switched off', async () => {
    const choose = vi.fn(() => Promise.resolve(answer([])));
    const { context, kept } = chatContext(choose);
    await vi.advanceTimersByTimeAsync(0);
    context.isOn = false;
    expect(await context.take('hello')).toEqual({ ...NOTHING, off: true });
    await vi.advanceTimersByTimeAsync(2000);
    expect(choose).not.toHaveBeenCalled();
    expect(kept.save).toHaveBeenCalledWith(false);
  });
});

describe('completing a mention', () => {
  const folders: Record<string, { name: string; type: string }[]> = {
    '': [
      { name: 'src', type: 'directory' },
      { name: 'a b.py', type: 'file' },
      { name: 'analysis.ipynb', type: 'notebook' },
      { name: 'old.chat', type: 'file' },
      { name: '.secret', type: 'file' }
    ],
    src: [{ name: 'prep.py', type: 'file' }]
  };
  const get = vi.fn((path: string) =>
    Promise.resolve({
      content: folders[path]!.map(one => ({
        ...one,
        path: path ? `${path}/${one.name}` : one.name
      }))
    })
  );
  const provider = new MentionProvider({
    contents: { get } as never,
    question: () => question({ task: 'chat' }),
    trans
  });
  const names = async (currentWord: string) => {
    const found = await provider.listCommandCompletions({
      currentWord
    } as IInputModel);
    return found.map(({ name }) => name);
  };

  it('offers the kinds first', async () => {
    expect(await names('@')).toEqual(['@file:', '@cell:', '@df:', '@run:']);
    expect(await names('@d')).toEqual(['@df:']);
    expect(await names('word')).toEqual([]);
    expect(await names('ana@d')).toEqual([]);
  });

  it('offers the files of one folder at a time, without what is hidden', async () => {
    expect(await names('@file:')).toEqual([
      '@file:"a b.py"',
      '@file:analysis.ipynb',
      '@file:src/'
    ]);
    expect(await names('@file:src/pr')).toEqual(['@file:src/prep.py']);
    expect(await names('@file:AN')).toEqual(['@file:analysis.ipynb']);
  });

  it('does not ask for the same folder at each key', async () => {
    get.mockClear();
    await names('@file:src/');
    await names('@file:src/p');
    await names('@file:src/pr');
    expect(get.mock.calls.length).toBeLessThanOrEqual(1);
  });

  it('asks once more where a folder could not be listed', async () => {
    const broken = vi
      .fn((path: string) => get(path))
      .mockRejectedValueOnce(new Error('404: a file went meanwhile'));
    const complete = new MentionProvider({
      contents: { get: broken } as never,
      question: () => null,
      trans
    });
    const input = { currentWord: '@file:an' } as IInputModel;
    const found = await complete.listCommandCompletions(input);
    expect(found.map(({ name }) => name)).toEqual(['@file:analysis.ipynb']);
    expect(broken).toHaveBeenCalledTimes(2);
  });

  it('offers nothing in a folder that is not there, and does not ask at each key', async () => {
    const missing = vi.fn(() => Promise.reject(new Error('404')));
    const complete = new MentionProvider({
      contents: { get: missing } as never,
      question: () => null,
      trans
    });
    for (const currentWord of ['@file:no/', '@file:no/a', '@file:no/ab']) {
      const input = { currentWord } as IInputModel;
      expect(await complete.listCommandCompletions(input)).toEqual([]);
    }
    expect(missing).toHaveBeenCalledTimes(2);
  });

  it('offers cells with their first line, and data frames before other variables', async () => {
    const cells = await provider.listCommandCompletions({
      currentWord: '@cell:'
    } as IInputModel);
    expect(cells.map(({ name, description }) => [name, description])).toEqual([
      ['@cell:1', 'import pandas'],
      ['@cell:2', 'df.head()']
    ]);
    expect(await names('@cell:head')).toEqual(['@cell:2']);
    expect(await names('@df:')).toEqual(['@df:df', '@df:n']);
  });

  it('is silent once the name is whole, so that Enter sends', async () => {
    expect(await names('@df:df')).toEqual([]);
    expect(await names('@run:1a2b')).toEqual([]);
  });
});

describe('what is not fetched', () => {
  it.each([
    ['color: red; text-align: center', true],
    ['background: rgba(1, 2, 3, 0.5)', true],
    ['background: url(https://evil.example/x.png)', false],
    ['background: \\75rl(https://evil.example/x.png)', false],
    ['background-image: image-set("x.png" 1x)', false],
    ['width: calc(100% - 2px)', false]
  ])('a style %s is plain: %s', (style, expected) => {
    expect(isPlainStyle(style)).toBe(expected);
  });

  it.each([
    ['data:image/png;base64,AAAA', true],
    ['https://evil.example/x.png', false],
    ['//evil.example/x.png', false],
    ['data:text/html,<script>', false],
    ['files/plot.png', false],
    [null, false]
  ])('an image at %s carries its data: %s', (url, expected) => {
    expect(isData(url)).toBe(expected);
  });

  it.each([
    ['/api/ai/avatars/aidp.svg', true],
    ['http://lab.test/user/ana/me.png', true],
    ['data:image/png;base64,AAAA', true],
    ['https://evil.example/me.png', false],
    ['//evil.example/me.png', false],
    ['https://[', false]
  ])('a picture of the sender at %s is shown: %s', (avatar_url, expected) => {
    const sender = { username: 'ana', avatar_url };
    const message = { id: '1', body: '', time: 0, sender };
    const shown = withoutRemotePicture(message, 'http://lab.test');
    expect(shown.sender.avatar_url).toBe(expected ? avatar_url : undefined);
  });

  it('names the host that is not asked', () => {
    expect(hostOf('https://evil.example/a?b')).toBe('evil.example');
    expect(hostOf('//evil.example/a')).toBe('evil.example');
    expect(hostOf('plot.png')).toBe('');
  });

  it('is what a diagram names: diagrams stay text', () => {
    expect(
      withoutDiagrams(
        'a\n```mermaid\nA@{ img: "https://x" }\n```\n> ~~~ Mermaid'
      )
    ).toBe('a\n```text\nA@{ img: "https://x" }\n```\n> ~~~ text');
    expect(withoutDiagrams('```python\nx\n```')).toBe('```python\nx\n```');
  });
});
