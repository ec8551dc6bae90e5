import { Signal } from '@lumino/signaling';
import { describe, expect, it } from 'vitest';

import { cut } from '../src/ai/context/cut';
import { bounded } from '../src/ai/context/documents';
import { KernelLook, variablesIn } from '../src/ai/context/kernel';
import { lookExpression } from '../src/ai/context/look.py';
import { outputSaid, outputsSaid } from '../src/ai/context/outputs';
import type { ICellSaid } from '../src/ai/context/wire';
import { settled } from './fakes';

const output = (value: object) => ({ toJSON: () => value });

describe('cut', () => {
  it('keeps the beginning and the end, within the limit', () => {
    expect(cut('short', 10)).toBe('short');
    const text = cut(`begin ${'x'.repeat(10_000)} end`, 100);
    expect(text.length).toBeLessThanOrEqual(100);
    expect(text).toMatch(/^begin x+\n…\nx+ end$/);
  });

  it('cuts no character into halves', () => {
    for (let limit = 10; limit < 20; limit++) {
      const text = cut('😀'.repeat(50), limit);
      // It throws at half a character.
      expect(encodeURIComponent(text)).not.toBe('');
    }
  });
});

describe('an output', () => {
  it.each([
    [
      'of a stream, without colours',
      { output_type: 'stream', text: '\u001b[31mred\u001b[0m\n' },
      { kind: 'text', text: 'red' }
    ],
    [
      'of an error, with its traceback',
      {
        output_type: 'error',
        ename: 'NameError',
        evalue: 'x',
        traceback: ['\u001b[0;31m---\u001b[0m', 'NameError: x']
      },
      { kind: 'error', text: '---\nNameError: x' }
    ],
    [
      'of an error without one',
      { output_type: 'error', ename: 'E', evalue: 'v', traceback: [] },
      { kind: 'error', text: 'E: v' }
    ],
    [
      'with a data frame, as text',
      {
        output_type: 'execute_result',
        data: {
          'text/html': '<div><table border="1">',
          'text/plain': ' a\n0 1'
        }
      },
      { kind: 'table', text: ' a\n0 1' }
    ],
    [
      'with an image, by its name',
      {
        output_type: 'display_data',
        data: { 'image/png': 'iVBORw0K', 'text/plain': '<Figure>' }
      },
      { kind: 'image', text: 'image/png: <Figure>' }
    ],
    [
      'with something else, by its type',
      { output_type: 'display_data', data: { 'application/json': { a: 1 } } },
      { kind: 'other', text: 'application/json' }
    ],
    [
      'that is broken',
      { output_type: 'stream', text: 7 },
      { kind: 'text', text: '' }
    ]
  ])('%s', (_, value, said) => {
    expect(outputSaid(output(value))).toEqual(said);
  });

  it('of fifty megabytes is told in two thousand characters', () => {
    const text = 'x'.repeat(50_000_000);
    const said = outputSaid(output({ output_type: 'stream', text }));
    expect(said.text.length).toBeLessThanOrEqual(2000);
  });

  it('of a thousand: the first and the last are read, the others not', () => {
    const read: number[] = [];
    const said = outputsSaid({
      length: 1000,
      get: index => {
        read.push(index);
        return output({ output_type: 'stream', text: `${index}` });
      }
    } as Parameters<typeof outputsSaid>[0]);
    expect(read).toEqual([0, 1, 2, 995, 996, 997, 998, 999]);
    expect(said).toHaveLength(8);
  });
});

describe('the cells of a large notebook', () => {
  const cell = (id: string, source: string, output = ''): ICellSaid => ({
    id,
    type: 'code',
    source,
    count: null,
    outputs: output ? [{ kind: 'text', text: output }] : []
  });

  it('keep their places; what is far away is left out', () => {
    const cells = [...'abcdefg'].map(id => cell(id, id.repeat(100)));
    const said = bounded(cells, ['d'], 350);
    expect(said.map(({ id }) => id).join('')).toBe('abcdefg');
    expect(said.map(({ source }) => source.length)).toEqual([
      0, 0, 100, 100, 100, 0, 0
    ]);
  });

  it('lose their outputs first', () => {
    const said = bounded([cell('a', 'x'.repeat(50), 'y'.repeat(100))], [], 60);
    expect(said[0]).toMatchObject({ source: 'x'.repeat(50), outputs: [] });
  });

  it('are cut where they are long, but for those that matter', () => {
    const long = 'x'.repeat(20_000);
    const said = bounded([cell('a', long), cell('b', long)], ['b']);
    expect(said.map(({ source }) => source.length)).toEqual([8000, 20_000]);
  });
});

describe('what a kernel answers', () => {
  const answer = (text: string) => ({
    status: 'ok',
    data: { 'text/plain': text }
  });

  it('is read from the notation of Python', () => {
    const text = String.raw`'{"variables": [{"name": "it\'s", "type": "a\\nb"}]}'`;
    expect(variablesIn(answer(text))).toEqual([{ name: "it's", type: 'a\nb' }]);
  });

  it.each([
    undefined,
    { status: 'error', ename: 'E' },
    answer('not JSON'),
    { status: 'ok', data: {} }
  ])('is nothing where it makes no sense: %j', value => {
    expect(variablesIn(value)).toBeNull();
  });

  it('was asked for without values unless they are allowed', () => {
    expect(lookExpression(false)).toContain('ns["look"](False)');
    expect(lookExpression(true)).toContain('ns["look"](True)');
  });
});

/** A session with a kernel that answers at once, and remembers what it was asked. */
class FakeSession {
  asked: { silent: boolean; store_history: boolean }[] = [];
  pendingInput = false;
  iopubMessage = new Signal<this, { header: { msg_type: string } }>(this);
  statusChanged = new Signal<this, string>(this);
  kernelChanged = new Signal<this, void>(this);
  disposed = new Signal<this, void>(this);
  session: { kernel: FakeSession['kernel'] } | null;
  kernel = {
    id: 'k1',
    status: 'idle',
    info: Promise.resolve({ language_info: { name: 'python' } }),
    requestExecute: (content: FakeSession['asked'][number]) => {
      this.asked.push(content);
      const text = `'{"variables": [{"name": "x${this.asked.length}", "type": "int"}]}'`;
      return {
        done: Promise.resolve({
          content: {
            status: 'ok',
            user_expressions: {
              aidp: { status: 'ok', data: { 'text/plain': text } }
            }
          }
        })
      };
    }
  };

  constructor() {
    this.session = { kernel: this.kernel };
  }

  status(status: string): void {
    this.kernel.status = status;
    this.statusChanged.emit(status);
  }

  /** A cell runs. */
  run(): void {
    this.status('busy');
    this.iopubMessage.emit({ header: { msg_type: 'execute_input' } });
    this.status('idle');
  }
}

/** Longer than the pause after a run. */
const quiet = () => new Promise(resolve => setTimeout(resolve, 350));

function watched(isInView = () => true) {
  const session = new FakeSession();
  const look = new KernelLook();
  const one = session as unknown as Parameters<typeof look.watch>[0];
  look.watch(one, isInView);
  return { look, one, session };
}

describe('a look at a kernel', () => {
  it('is not taken unless the user allows it', async () => {
    const { look, one, session } = watched();
    session.run();
    await quiet();
    await look.look(one);
    expect(session.asked).toEqual([]);
    expect(look.said(one)).toBeNull();
  });

  it('is taken once after several cells ran, silently', async () => {
    const { look, one, session } = watched();
    look.allowed = 'schema';
    session.run();
    session.run();
    await quiet();
    expect(session.asked).toHaveLength(1);
    expect(session.asked[0]).toMatchObject({
      silent: true,
      store_history: false,
      allow_stdin: false,
      stop_on_error: false
    });
    expect(look.said(one)).toMatchObject({
      state: 'idle',
      allows_values: false,
      variables: [{ name: 'x1' }]
    });
    // Its own run tells of no input.
    session.status('busy');
    session.status('idle');
    await quiet();
    expect(session.asked).toHaveLength(1);
  });

  it.each(['busy', 'starting', 'dead', 'unknown'])(
    'is not taken of a kernel that is %s',
    async status => {
      const { look, one, session } = watched();
      look.allowed = 'schema';
      session.status(status);
      await look.look(one);
      await quiet();
      expect(session.asked).toEqual([]);
    }
  );

  it('of before is told while the kernel is busy', async () => {
    const { look, one, session } = watched();
    look.allowed = 'schema';
    await look.look(one);
    session.status('busy');
    await look.look(one);
    expect(look.said(one)).toMatchObject({
      state: 'busy',
      variables: [{ name: 'x1' }]
    });
    expect(session.asked).toHaveLength(1);
  });

  it.each([
    ['restarts', (session: FakeSession) => session.status('restarting')],
    ['dies', (session: FakeSession) => session.status('dead')],
    [
      'is another',
      (session: FakeSession) => {
        session.kernel.id = 'k2';
        session.kernel.status = 'starting';
        session.kernelChanged.emit();
      }
    ],
    [
      'is gone',
      (session: FakeSession) => {
        session.session = null;
        session.kernelChanged.emit();
      }
    ]
  ])('is forgotten when the kernel %s', async (_, end) => {
    const { look, one, session } = watched();
    look.allowed = 'schema';
    await look.look(one);
    expect(look.said(one)).not.toBeNull();
    end(session);
    expect(look.said(one)).toBeNull();
  });

  it('is forgotten when the user no longer allows it', async () => {
    const { look, one } = watched();
    look.allowed = 'values';
    await look.look(one);
    expect(look.said(one)?.allows_values).toBe(true);
    look.allowed = 'off';
    expect(look.said(one)).toBeNull();
    look.allowed = 'schema';
    expect(look.said(one)).toBeNull();
  });

  it('waits until the document is in view', async () => {
    let isInView = false;
    const { look, one, session } = watched(() => isInView);
    look.allowed = 'schema';
    session.run();
    await quiet();
    expect(session.asked).toEqual([]);
    isInView = true;
    look.cameIntoView(one);
    await quiet();
    expect(session.asked).toHaveLength(1);
  });

  it('is taken of Python only', async () => {
    const { look, one, session } = watched();
    session.kernel.info = Promise.resolve({ language_info: { name: 'R' } });
    look.allowed = 'schema';
    await look.look(one);
    expect(session.asked).toEqual([]);
  });

  it('ends quietly when the kernel goes away meanwhile', async () => {
    const { look, one, session } = watched();
    look.allowed = 'schema';
    session.kernel.requestExecute = () => {
      throw new Error('Canceled');
    };
    await look.look(one);
    await settled();
    expect(look.said(one)).toBeNull();
  });
});
