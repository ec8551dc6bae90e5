import { describe, expect, it } from 'vitest';

import { AiApi } from '../src/ai/api';
import type { ICompletionSettings } from '../src/ai/completion';
import { AidpInlineProvider } from '../src/ai/completion';
import { Feedback } from '../src/ai/feedback';
import { AiModel } from '../src/ai/model';
import type { ISurroundings } from '../src/ai/surroundings';
import schema from '../schema/ai.json';
import { FakeLab, FakeModel, json, serverWith, settled } from './fakes';

const DEFAULTS = Object.fromEntries(
  Object.entries(schema.properties).map(([name, one]) => [name, one.default])
) as unknown as ICompletionSettings;

/** A place in code without anything around it. */
const NOWHERE: ISurroundings = {
  text: 'cell-1',
  isWanted: true,
  language: 'python',
  before: '',
  context: null,
  paths: []
};

/** A provider on a fake wire, an editor with text, and the models that were asked. */
function setup(
  text: string,
  options: {
    settings?: Partial<ICompletionSettings>;
    surroundings?: Partial<ISurroundings>;
    answer?: () => Response;
  } = {}
) {
  const around: { -readonly [K in keyof ISurroundings]?: ISurroundings[K] } = {
    ...options.surroundings
  };
  const asked: FakeModel[] = [];
  const headers: Headers[] = [];
  const told: unknown[] = [];
  const { server } = serverWith(called => {
    if (called.path.endsWith('ai/feedback')) {
      told.push(called.body);
      return json({});
    }
    if (!called.path.endsWith('ai/v1/completions')) {
      return json({ mode: 'hybrid', modes: [], route: 'ollama/qwen' });
    }
    expect(called.method).toBe('POST');
    expect(called.headers.get('X-AIDP-Task')).toBe('complete');
    headers.push(called.headers);
    if (options.answer) {
      return options.answer();
    }
    const fake = new FakeModel(called);
    expect(fake.request).toMatchObject({ model: 'auto', stream: true });
    asked.push(fake);
    return fake.response;
  });
  const api = new AiApi(server);
  const model = new AiModel(api);
  const feedback = new Feedback(api);
  const provider = new AidpInlineProvider({
    api,
    model,
    feedback,
    surroundings: () => ({ ...NOWHERE, ...around }),
    refresh: () => void lab.invoke()
  });
  provider.settings = { ...DEFAULTS, debounce: 0, ...options.settings };
  const lab = new FakeLab(provider, text);
  return { around, asked, feedback, headers, lab, model, provider, told };
}

describe('ghost text', () => {
  it('streams in after what is typed', async () => {
    const { lab, asked } = setup('impor|');
    await lab.type('t');
    expect(lab.ghost).toBeNull();
    await asked[0]!.say(' num');
    expect(lab.ghost).toBe(' num');
    await asked[0]!.say('py');
    expect(lab.ghost).toBe(' numpy');
    await asked[0]!.end();
    expect(lab.ghost).toBe(' numpy');
    expect(asked[0]!.request).toMatchObject({ prompt: 'import', suffix: '' });
  });

  it('fills in the middle of a line with one line, and leaves out what follows', async () => {
    const { lab, asked } = setup('print(|)\n');
    await lab.type('x');
    expect(asked[0]!.request).toMatchObject({
      prompt: 'print(x',
      suffix: ')\n',
      stop: ['\n']
    });
    await asked[0]!.say(', y)');
    expect(lab.ghost).toBe(', y');
  });

  it('may be of several lines at the end of a line', async () => {
    const { lab, asked } = setup('def f()|\n\nrest');
    await lab.type(':');
    expect(asked[0]!.request.stop).toBeUndefined();
  });

  it('knows the cells before', async () => {
    const { lab, asked } = setup('p|', {
      surroundings: { before: 'import pandas as pd\n\n' }
    });
    await lab.type('d');
    expect(asked[0]!.request.prompt).toBe('import pandas as pd\n\npd');
  });

  it('finds the cursor after an emoji', async () => {
    const { lab, asked } = setup("s = '😀😀'; pr|)");
    await lab.type('i');
    expect(asked[0]!.request).toMatchObject({
      prompt: "s = '😀😀'; pri",
      suffix: ')'
    });
  });

  it('takes any text: odd bytes and foreign line ends', async () => {
    const { lab, asked } = setup('a|');
    await lab.type('b');
    await asked[0]!.say('\ufffd\r');
    await asked[0]!.say('\nc\r\n');
    expect(lab.ghost).toBe('\ufffd\nc');
  });

  it('shows nothing rather than blank space, which would catch the Tab key', async () => {
    const { lab, asked } = setup('a|');
    await lab.type('b');
    await asked[0]!.say('\n  \n');
    expect(lab.ghost).toBeNull();
    await asked[0]!.end();
    expect(lab.ghost).toBeNull();
  });
});

describe('a request', () => {
  it('is made for the last of several quick keys', async () => {
    const { lab, asked } = setup('|', { settings: { debounce: 60 } });
    await lab.type('impor');
    await new Promise(resolve => setTimeout(resolve, 90));
    expect(asked.map(one => one.request.prompt)).toEqual(['impor']);
  });

  it('waits from the key on, not from when Lab came to ask', async () => {
    const { lab, asked, provider } = setup('|', { settings: { debounce: 60 } });
    provider.keyAt = performance.now() - 60;
    await lab.type('i');
    expect(asked).toHaveLength(1);
    provider.keyAt = performance.now() - 5000;
    await lab.type('m');
    expect(asked, 'that was no key').toHaveLength(1);
  });

  it('is aborted by a newer one', async () => {
    const { lab, asked } = setup('|');
    await lab.type('a');
    await lab.type('b');
    expect(asked.map(one => one.isAborted)).toEqual([true, false]);
  });

  it('is aborted when what is typed differs from what came', async () => {
    const { lab, asked } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' numpy');
    await lab.type(' p');
    expect(asked[0]!.isAborted).toBe(true);
    expect(asked[1]!.request.prompt).toBe('import p');
  });

  it('is aborted when the text after the cursor changes', async () => {
    const { lab, asked } = setup('f(|)');
    await lab.type('x');
    await asked[0]!.say(', y');
    await lab.deleteNext();
    expect(asked.map(one => one.isAborted)).toEqual([true, false]);
    expect(asked[1]!.request).toMatchObject({ prompt: 'f(x', suffix: '' });
  });

  it.each<[string, (lab: FakeLab) => Promise<void>]>([
    ['the cursor leaves', lab => lab.moveTo(0)],
    ['the editor loses the focus', lab => lab.blur()],
    ['the cell is deleted', lab => lab.remove()]
  ])('is aborted when %s', async (_, leave) => {
    const { lab, asked } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' numpy');
    await leave(lab);
    expect(asked[0]!.isAborted).toBe(true);
  });

  it('is aborted when suggestions are turned off', async () => {
    const { lab, asked, provider } = setup('impor|');
    await lab.type('t');
    provider.settings = { ...DEFAULTS, enabled: false };
    await settled();
    expect(asked[0]!.isAborted).toBe(true);
    await lab.type(' ');
    expect(asked).toHaveLength(1);
  });
});

describe('a model that goes on and on', () => {
  it.each([
    ['with the same line', 'y = 2\n'.repeat(8), '\ny = 2'],
    ['into the next cell', 'y = 2\n# In[3]:\nz = 3', '\ny = 2'],
    ['after the end of the text', 'y = 2<|endoftext|>import os', '\ny = 2']
  ])('%s is stopped', async (_, said, shown) => {
    const { lab, asked, model } = setup('x = |');
    await lab.type('1');
    await asked[0]!.say(`\n${said}`);
    expect(asked[0]!.isLeft).toBe(true);
    expect(lab.ghost).toBe(shown);
    expect(model.error).toBeNull();
  });
});

describe('other suggestions', () => {
  it('are asked for when the user looks for them, one after the other', async () => {
    const { lab, asked } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' numpy');
    await asked[0]!.end();
    expect(asked).toHaveLength(1);
    await lab.next();
    expect(asked).toHaveLength(2);
    expect(asked[1]!.request.prompt).toBe(asked[0]!.request.prompt);
    expect(asked[1]!.request.temperature).toBeGreaterThan(
      asked[0]!.request.temperature
    );
    expect(lab.ghost).toBe(' numpy');
    await asked[1]!.say(' pandas');
    await asked[1]!.end();
    expect(lab.ghost).toBe(' pandas');
    await asked[2]!.say(' polars');
    await asked[2]!.end();
    await lab.next();
    expect(lab.ghost).toBe(' polars');
    await lab.next();
    expect(lab.ghost).toBe(' numpy');
    expect(asked).toHaveLength(3);
  });

  it('are remembered and typed along without a request', async () => {
    const { lab, asked, model } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' numpy');
    await asked[0]!.end();
    await lab.next();
    await asked[1]!.say(' pandas as pd');
    await asked[1]!.end();
    await asked[2]!.end();
    await lab.type(' pan');
    expect(lab.ghost).toBe('das as pd');
    expect(asked).toHaveLength(3);
    await lab.accept();
    expect(lab.text).toBe('import pandas as pd');
    expect(model.counts).toEqual({ shown: 1, accepted: 1, rejected: 0 });
  });

  it('are given up when the user goes on', async () => {
    const { lab, asked } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' numpy');
    await asked[0]!.end();
    await lab.next();
    await lab.moveTo(0);
    expect(asked[1]!.isAborted).toBe(true);
    expect(asked).toHaveLength(2);
  });

  it('that say the same are no choice', async () => {
    const { lab, asked } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' numpy');
    await asked[0]!.end();
    await lab.next();
    await asked[1]!.say(' numpy');
    await asked[1]!.end();
    await asked[2]!.say(' numpy');
    await asked[2]!.end();
    await lab.next();
    expect(lab.ghost).toBe(' numpy');
    expect(asked).toHaveLength(3);
  });
});

describe('where it is asked', () => {
  it('is told: the files that the text comes from, and the editor', async () => {
    const { lab, headers } = setup('impor|', {
      surroundings: { paths: ['my data/Äpfel, 1.ipynb', 'prep.py'] }
    });
    await lab.type('t');
    expect(headers[0]!.get('X-AIDP-Path')).toBe(
      'my%20data/%C3%84pfel%2C%201.ipynb,prep.py'
    );
    expect(headers[0]!.get('X-AIDP-Conversation')).toBe('editor-1');
  });

  it('is no file in a console', async () => {
    const { lab, headers } = setup('impor|');
    await lab.type('t');
    expect(headers[0]!.has('X-AIDP-Path')).toBe(false);
  });
});

describe('typing along', () => {
  it('costs no request, also while the stream runs on', async () => {
    const { lab, asked } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' num');
    await lab.type(' n');
    expect(lab.ghost).toBe('um');
    await asked[0]!.say('py as np');
    expect(lab.ghost).toBe('umpy as np');
    await lab.type('umpy');
    await asked[0]!.end();
    expect(lab.ghost).toBe(' as np');
    expect(asked).toHaveLength(1);
    expect(asked[0]!.isAborted).toBe(false);
  });

  it('waits for more of the stream once all that came is typed', async () => {
    const { lab, asked } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' n');
    await lab.type(' n');
    expect(lab.ghost).toBeNull();
    await asked[0]!.say('umpy');
    expect(lab.ghost).toBe('umpy');
    expect(asked).toHaveLength(1);
  });

  it('and back again costs no request', async () => {
    const { lab, asked } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' numpy');
    await asked[0]!.end();
    await lab.type(' n');
    await lab.backspace();
    expect(lab.ghost).toBe('numpy');
    expect(asked).toHaveLength(1);
  });

  it('a suggestion of several lines costs no request for sixty keys', async () => {
    const { lab, asked } = setup('def mean(values)|');
    await lab.type(':');
    const text =
      '\n    total = sum(values)\n    count = len(values)\n    return total / count';
    for (const piece of text.match(/[\s\S]{1,4}/g)!) {
      await asked[0]!.say(piece);
    }
    await asked[0]!.end();
    await lab.type(text.slice(0, 60));
    expect(lab.ghost).toBe(text.slice(60));
    expect(asked).toHaveLength(1);
  });

  it('costs no request when another context is chosen meanwhile', async () => {
    const { around, lab, asked } = setup('impor|', {
      surroundings: { before: 'a = 1\n\n' }
    });
    await lab.type('t');
    await asked[0]!.say(' numpy as np');
    around.before = 'b = 2\n\n';
    await lab.type(' num');
    expect(lab.ghost).toBe('py as np');
    expect(asked).toHaveLength(1);
    await lab.type('!');
    expect(asked[1]!.request.prompt).toBe('b = 2\n\nimport num!');
  });

  it('of the same words in another cell is not typing along', async () => {
    const { around, lab, asked } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' numpy');
    await asked[0]!.end();
    around.text = 'cell-2';
    await lab.type(' ');
    expect(asked).toHaveLength(2);
  });

  it('goes on after lines were accepted one by one', async () => {
    const { lab, asked, provider } = setup('if a|');
    await lab.type(':');
    await asked[0]!.say('\n    b()\n\n    c()');
    await asked[0]!.end();
    provider.acceptLine();
    await settled();
    expect(lab.text).toBe('if a:\n    b()');
    expect(lab.ghost).toBe('\n\n    c()');
    expect(asked).toHaveLength(1);
    provider.acceptLine();
    await settled();
    expect(lab.text).toBe('if a:\n    b()\n\n    c()');
  });

  it('goes on after a word was accepted', async () => {
    const { lab, asked, provider } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' numpy as np');
    await asked[0]!.end();
    provider.acceptWord();
    await settled();
    expect(lab.text).toBe('import numpy');
    expect(lab.ghost).toBe(' as np');
    expect(asked).toHaveLength(1);
  });
});

describe('without being asked', () => {
  it.each<[string, Parameters<typeof setup>[1], string]>([
    ['where it is not wanted', { surroundings: { isWanted: false } }, 'word'],
    ['when turned off', { settings: { enabled: false } }, 'word'],
    ['in an empty cell', {}, ' ']
  ])('suggests nothing %s, but does on demand', async (_, options, text) => {
    const { lab, asked } = setup('|', options);
    await lab.type(text);
    expect(asked).toHaveLength(0);
    await lab.invoke();
    expect(asked).toHaveLength(1);
  });

  it('believes a model that had nothing to say, until asked again', async () => {
    const { lab, asked } = setup('a|');
    await lab.type('b');
    await asked[0]!.end();
    await lab.type('c');
    await asked[1]!.end();
    await lab.backspace();
    expect(asked).toHaveLength(2);
    await lab.invoke();
    expect(asked).toHaveLength(3);
  });

  it('asks no model while none can be reached', async () => {
    const error = { code: 'no_model_available', message: 'No model.' };
    const { lab, model } = setup('a|', { answer: () => json({ error }, 503) });
    Object.defineProperty(model, 'reachable', { value: false });
    let calls = 0;
    model.track = () => {
      calls++;
      throw new Error('asked');
    };
    await lab.type('b');
    expect(calls).toBe(0);
  });
});

describe('counts', () => {
  it('a suggestion accepted whole', async () => {
    const { lab, asked, model } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' numpy');
    await asked[0]!.end();
    await lab.accept();
    expect(lab.text).toBe('import numpy');
    expect(model.counts).toEqual({ shown: 1, accepted: 1, rejected: 0 });
  });

  it('a suggestion accepted while it streams, once', async () => {
    const { lab, asked, model } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' numpy');
    await lab.accept();
    await asked[0]!.say(' as np');
    await lab.accept();
    await asked[0]!.end();
    expect(lab.text).toBe('import numpy as np');
    expect(model.counts).toEqual({ shown: 1, accepted: 1, rejected: 0 });
  });

  it('a suggestion accepted by words, once', async () => {
    const { lab, asked, model, provider } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' numpy as np');
    await asked[0]!.end();
    provider.acceptWord();
    await settled();
    provider.acceptWord();
    await settled();
    expect(lab.text).toBe('import numpy as');
    await lab.type('!');
    expect(model.counts).toEqual({ shown: 1, accepted: 1, rejected: 0 });
  });

  it.each<[string, (lab: FakeLab) => Promise<void>]>([
    ['typed over', lab => lab.type('!')],
    ['left by the cursor', lab => lab.moveTo(0)],
    ['left by the focus', lab => lab.blur()]
  ])('a suggestion %s as rejected', async (_, leave) => {
    const { lab, asked, model } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' numpy');
    await asked[0]!.end();
    await leave(lab);
    expect(model.counts).toEqual({ shown: 1, accepted: 0, rejected: 1 });
  });

  it('a suggestion written by hand as neither', async () => {
    const { lab, asked, model } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' np');
    await asked[0]!.end();
    await lab.type(' np');
    await lab.type('!');
    expect(model.counts).toEqual({ shown: 1, accepted: 0, rejected: 0 });
  });

  it('nothing for what nobody saw', async () => {
    const { lab, asked, model } = setup('a|');
    await lab.type('b');
    await lab.type('c');
    await asked[1]!.end();
    await lab.type('d');
    expect(model.counts).toEqual({ shown: 0, accepted: 0, rejected: 0 });
  });

  it('nothing when Lab accepted something else', async () => {
    const { lab, asked, provider, model } = setup('a|');
    await lab.type('b');
    await asked[0]!.say('c');
    provider.accepted();
    expect(model.counts.accepted).toBe(0);
  });
});

describe('what a model was told', () => {
  it('is known once its suggestion is seen', async () => {
    const context = {
      text: 'x = 1',
      items: [],
      summary: '1 cell',
      withheld: [],
      paths: [],
      secrets: 0,
      id: null
    };
    const { lab, asked, model } = setup('x|', { surroundings: { context } });
    await lab.type(' ');
    expect(model.lastContext).toBeNull();
    await asked[0]!.say('= 2');
    expect(model.lastContext).toBe(context);
  });
});

describe('feedback', () => {
  it('goes against the model that made the suggestion, in one report', async () => {
    const { lab, asked, feedback, told } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' numpy');
    await asked[0]!.end();
    await lab.accept();
    await lab.type('\n');
    const last = asked.at(-1)!;
    await last.say('x = 1');
    await last.end();
    await lab.type('!');
    await feedback.send();
    expect(told).toEqual([
      { route: 'ollama/qwen', task: 'complete', accepted: 1, rejected: 1 }
    ]);
  });

  it('says nothing of what nobody saw', async () => {
    const { lab, asked, feedback, told } = setup('a|');
    await lab.type('b');
    await asked[0]!.end();
    await lab.type('c');
    await feedback.send();
    expect(told).toEqual([]);
  });
});

describe('a failure', () => {
  it('before the first word shows in the status only', async () => {
    const error = { code: 'upstream_error', message: 'Ollama failed.' };
    const { lab, model } = setup('a|', { answer: () => json({ error }, 502) });
    await lab.type('b');
    expect(lab.ghost).toBeNull();
    expect(model.error?.message).toBe('Ollama failed.');
  });

  it('midway keeps what came, tells the status, and is over with the next success', async () => {
    const { lab, asked, model } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' num');
    await asked[0]!.fail('upstream_error', 'Ollama stopped answering.');
    expect(lab.ghost).toBe(' num');
    expect(model.state).toBe('error');
    expect(model.error?.message).toBe('Ollama stopped answering.');
    await lab.type('x');
    await asked[1]!.say('y');
    await asked[1]!.end();
    expect(model.error).toBeNull();
  });

  it('of the connection counts as a lost server', async () => {
    const { lab, asked, model } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' num');
    await asked[0]!.breakOff();
    expect(model.error?.code).toBe('offline_server');
  });

  it('is an answer that ends before it says so', async () => {
    const { lab, asked, model } = setup('impor|');
    await lab.type('t');
    await asked[0]!.say(' num');
    await asked[0]!.close();
    expect(model.error?.code).toBe('offline_server');
  });

  it('is not remembered: the same place asks again', async () => {
    const { lab, asked } = setup('impor|');
    await lab.type('t');
    await asked[0]!.fail('upstream_error', 'Ollama stopped answering.');
    await lab.type('x');
    await lab.backspace();
    expect(asked).toHaveLength(3);
  });

  it('an abort is none', async () => {
    const { lab, asked, model } = setup('a|');
    await lab.type('b');
    await lab.type('c');
    expect(asked[0]!.isAborted).toBe(true);
    expect(model.error).toBeNull();
  });
});
