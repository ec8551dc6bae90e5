import { Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { DocumentReader } from '../src/ai/context/documents';
import { ContextGatherer } from '../src/ai/context/gatherer';
import type { IContext, IContextQuestion } from '../src/ai/context/wire';
import { languageName } from '../src/ai/languages';
import type { ISurroundingsOptions } from '../src/ai/surroundings';
import { Surroundings } from '../src/ai/surroundings';
import { Wanted } from '../src/ai/wanted';

/** A cell as Lab's model is: its text can be read without an editor. */
class FakeCell {
  constructor(
    readonly id: string,
    public source: string,
    readonly type = 'code'
  ) {}

  reads = 0;
  executionCount = 3;
  contentChanged = new Signal<this, void>(this);
  sharedModel = {
    changed: new Signal<this, void>(this),
    getSource: () => {
      this.reads++;
      return this.source;
    }
  };
  outputs = {
    length: 1,
    get: () => ({ toJSON: () => ({ output_type: 'stream', text: 'out\n' }) })
  };

  write(source: string): void {
    this.source = source;
    this.sharedModel.changed.emit();
  }
}

/** A notebook panel, as far as it is read. */
class FakeNotebook {
  constructor(
    path: string,
    cells: FakeCell[],
    readonly metadata: Record<string, unknown> = {}
  ) {
    this.context = { path };
    this.active = cells.length - 1;
    const now = () => this.active;
    this.content = {
      codeMimetype: 'text/x-python',
      get activeCellIndex() {
        return now();
      },
      get activeCell() {
        return { model: cells[now()] };
      },
      widgets: cells.map(model => ({ model }))
    };
  }

  active: number;
  readonly content: object;
  readonly context: { readonly path: string };
  readonly id = 'widget';
  readonly isDisposed = false;
  readonly isVisible = true;
  readonly sessionContext = { session: null };
  readonly model = {
    defaultKernelLanguage: 'python',
    getMetadata: (key: string) => this.metadata[key],
    setMetadata: (key: string, value: unknown) => {
      this.metadata[key] = value;
    },
    deleteMetadata: (key: string) => {
      delete this.metadata[key];
    }
  };

  get widget(): Widget {
    return this as unknown as Widget;
  }
}

/** A tracker of widgets. */
function tracker(...widgets: FakeNotebook[]) {
  const all = widgets.map(({ widget }) => widget);
  return {
    has: (widget: Widget) => all.includes(widget),
    forEach: (each: (widget: Widget) => void) => all.forEach(each)
  };
}

const pathOf = (widget: unknown) =>
  (widget as FakeNotebook | null)?.context?.path ?? '';

function readerOf(...notebooks: FakeNotebook[]): DocumentReader {
  return new DocumentReader({
    notebooks: tracker(...notebooks),
    editors: null,
    consoles: null,
    pathOf,
    languageOf: () => 'python'
  } as unknown as ConstructorParameters<typeof DocumentReader>[0]);
}

const chosen = (text: string): IContext => ({
  text,
  items: [],
  summary: '',
  withheld: [],
  paths: ['a.ipynb', 'prep.py'],
  secrets: 0,
  id: null
});

describe('a document', () => {
  it('is read with its cells, the active one and their outputs', () => {
    const notebook = new FakeNotebook('a.ipynb', [
      new FakeCell('m', '# Title', 'markdown'),
      new FakeCell('c', 'x = 1')
    ]);
    const said = readerOf(notebook).document(notebook.widget);
    expect(said).toMatchObject({
      path: 'a.ipynb',
      kind: 'notebook',
      language: 'python',
      active: 'c'
    });
    expect(said?.cells[1]).toEqual({
      id: 'c',
      type: 'code',
      source: 'x = 1',
      count: 3,
      outputs: [{ kind: 'text', text: 'out' }]
    });
  });

  it('is not read again where nothing changed', () => {
    const cells = [new FakeCell('a', 'x = 1'), new FakeCell('b', 'y = 2')];
    const notebook = new FakeNotebook('a.ipynb', cells);
    const reader = readerOf(notebook);
    reader.document(notebook.widget);
    cells[1]!.write('y = 3');
    const said = reader.document(notebook.widget);
    expect(said?.cells.map(({ source }) => source)).toEqual(['x = 1', 'y = 3']);
    expect(cells.map(({ reads }) => reads)).toEqual([1, 2]);
  });

  it('is about the cell that the caller names, if it is there', () => {
    const notebook = new FakeNotebook('a.ipynb', [
      new FakeCell('a', ''),
      new FakeCell('b', '')
    ]);
    const reader = readerOf(notebook);
    expect(reader.document(notebook.widget, 'a')?.active).toBe('a');
    expect(reader.document(notebook.widget, 'gone')?.active).toBe('b');
  });

  it('that nobody can read is none', () => {
    const reader = readerOf();
    const stranger = new FakeNotebook('x', []).widget;
    expect(reader.document(stranger)).toBeNull();
    expect(reader.knows(stranger)).toBe(false);
  });

  it('is told beside the others that are open, each once', () => {
    const one = new FakeNotebook('a.ipynb', [new FakeCell('a', 'x = 1')]);
    const two = new FakeNotebook('b.ipynb', [
      new FakeCell('b', 'y = 2'),
      new FakeCell('c', 'z = 3')
    ]);
    const again = new FakeNotebook('b.ipynb', [new FakeCell('b', '')]);
    const gatherer = new ContextGatherer({
      api: { context: () => Promise.reject(new Error('not asked')) },
      documents: readerOf(one, two, again),
      kernels: {
        allowed: 'schema',
        said: () => null,
        look: () => Promise.resolve()
      },
      current: () => one.widget
    });
    const question = gatherer.question({ task: 'chat', query: 'why?' });
    expect(question.kernel).toBeNull();
    expect(question.document?.path).toBe('a.ipynb');
    expect(question.open).toEqual([
      { path: 'b.ipynb', text: 'y = 2\n\nz = 3', language: 'python' }
    ]);
  });

  it('may show values where the user allows them, also where no kernel was asked', () => {
    const one = new FakeNotebook('a.ipynb', [new FakeCell('a', 'x = 1')]);
    const gatherer = new ContextGatherer({
      api: { context: () => Promise.reject(new Error('not asked')) },
      documents: readerOf(one),
      kernels: {
        allowed: 'values',
        said: () => null,
        look: () => Promise.resolve()
      },
      current: () => one.widget
    });
    expect(gatherer.question({ task: 'chat' }).kernel).toMatchObject({
      state: 'none',
      variables: [],
      allows_values: true
    });
  });
});

describe('what comes before', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function setup(limit = 3000) {
    const cells = [new FakeCell('a', 'x = 1'), new FakeCell('b', 'y = x')];
    const notebook = new FakeNotebook('a.ipynb', cells);
    const reader = readerOf(notebook);
    const asked: AbortSignal[] = [];
    const answers: PromiseWithResolvers<IContext>[] = [];
    const kernel = { taken_at: 't0', variables: [{ name: 'frame' }] };
    const surroundings = new Surroundings({
      gatherer: {
        question: (wish: object) =>
          ({
            ...wish,
            document: reader.document(notebook.widget),
            kernel: { ...kernel },
            open: []
          }) as unknown as IContextQuestion,
        choose: (_: unknown, signal: AbortSignal) => {
          asked.push(signal);
          const answer = deferred<IContext>();
          answers.push(answer);
          return answer.promise;
        },
        kernel: () => kernel
      },
      pathOf,
      languageOf: () => 'python',
      isWanted: () => true
    } as unknown as ISurroundingsOptions);
    const place = { widget: notebook.widget, editor: null };
    const at = (prefix: string) =>
      surroundings.at(place as never, prefix, limit);
    return { answers, asked, at, cells, kernel, notebook };
  }

  it('is the nearest cells, until the server has chosen', async () => {
    const { answers, at } = setup();
    expect(at('y')).toMatchObject({
      text: 'b',
      before: 'x = 1\n\n',
      context: null,
      paths: ['a.ipynb']
    });
    await vi.advanceTimersByTimeAsync(10);
    answers[0]!.resolve(chosen('# chosen\n'));
    await vi.advanceTimersByTimeAsync(0);
    expect(at('y')).toMatchObject({
      before: '# chosen\n\n',
      paths: ['a.ipynb', 'prep.py']
    });
  });

  it('is asked for once, however many keys are pressed', async () => {
    const { asked, at } = setup();
    for (let i = 0; i < 60; i++) {
      at('x'.repeat(i));
      await vi.advanceTimersByTimeAsync(50);
    }
    await vi.advanceTimersByTimeAsync(5000);
    expect(asked).toHaveLength(1);
  });

  it('is asked for again when another cell changed', async () => {
    const { asked, at, cells } = setup();
    at('y');
    await vi.advanceTimersByTimeAsync(2000);
    cells[0]!.write('x = 2');
    at('y ');
    await vi.advanceTimersByTimeAsync(2000);
    expect(asked).toHaveLength(2);
  });

  it('is asked for again when the kernel was looked at', async () => {
    const { asked, at, kernel } = setup();
    at('y');
    await vi.advanceTimersByTimeAsync(2000);
    kernel.taken_at = 't1';
    at('y ');
    await vi.advanceTimersByTimeAsync(10);
    expect(asked).toHaveLength(2);
  });

  it.each([
    ['a variable of the kernel', 'frame.', 2],
    ['new names', 'load(path)', 2],
    ['a word that is being written', 'loa', 1]
  ])('where the text comes to use %s', async (_, prefix, count) => {
    const { asked, at } = setup();
    at('');
    await vi.advanceTimersByTimeAsync(2000);
    at(prefix);
    await vi.advanceTimersByTimeAsync(2000);
    expect(asked).toHaveLength(count);
  });

  it('stays what it was when the server fails', async () => {
    const { answers, at } = setup();
    at('y');
    await vi.advanceTimersByTimeAsync(10);
    answers[0]!.reject(new Error('no server'));
    await vi.advanceTimersByTimeAsync(0);
    expect(at('y').before).toBe('x = 1\n\n');
  });

  it('is given up when the user goes to another cell', async () => {
    const { answers, asked, at, notebook } = setup();
    at('y');
    await vi.advanceTimersByTimeAsync(10);
    notebook.active = 0;
    expect(at('x')).toMatchObject({ text: 'a', before: '' });
    expect(asked[0]!.aborted).toBe(true);
    answers[0]!.resolve(chosen('late'));
    await vi.advanceTimersByTimeAsync(0);
    expect(at('x').before).toBe('');
  });

  it('is nothing, and is not asked for, where the user wants none', async () => {
    const { asked, at } = setup(0);
    expect(at('y').before).toBe('');
    await vi.advanceTimersByTimeAsync(2000);
    expect(asked).toEqual([]);
  });
});

describe('suggestions are wanted', () => {
  it('in code, and in prose only when the user says so', () => {
    const wanted = new Wanted(pathOf, null);
    expect(wanted.isWanted(null, 'python')).toBe(true);
    expect(wanted.isWanted(null, 'markdown')).toBe(false);
    expect(wanted.isWanted(null, '')).toBe(false);
    wanted.languages = { markdown: true, python: false };
    expect(wanted.isWanted(null, 'python')).toBe(false);
    expect(wanted.isWanted(null, 'markdown')).toBe(true);
  });

  it('not in a notebook that was turned off, which keeps that itself', async () => {
    const notebook = new FakeNotebook('a.ipynb', [], { aidp: { other: 1 } });
    const wanted = new Wanted(pathOf, null);
    await wanted.toggle(notebook.widget);
    expect(notebook.metadata).toEqual({
      aidp: { other: 1, completion: false }
    });
    expect(wanted.isWanted(notebook.widget, 'python')).toBe(false);
    await wanted.toggle(notebook.widget);
    expect(notebook.metadata).toEqual({ aidp: { other: 1 } });
  });

  it.each([['text'], [7], [null], [[false]], [{ completion: 'no' }]])(
    'in a notebook whose metadata say %j',
    aidp => {
      const notebook = new FakeNotebook('a.ipynb', [], { aidp });
      const wanted = new Wanted(pathOf, null);
      expect(wanted.isOff(notebook.widget)).toBe(false);
    }
  );

  it('not in a file that was turned off, also after a reload', async () => {
    const kept = new Map<string, unknown>();
    const state = {
      fetch: (key: string) => Promise.resolve(kept.get(key)),
      save: (key: string, value: unknown) =>
        Promise.resolve(void kept.set(key, value))
    } as unknown as ConstructorParameters<typeof Wanted>[1];
    const file = { context: { path: 'prep.py' } } as unknown as Widget;
    const wanted = new Wanted(pathOf, state);
    await wanted.toggle(file);
    expect(wanted.isOff(file)).toBe(true);
    const later = new Wanted(pathOf, state);
    await vi.waitFor(() => expect(later.isOff(file)).toBe(true));
    await later.toggle(file);
    expect(later.isOff(file)).toBe(false);
  });
});

describe('a language', () => {
  const registry = {
    findByMIME: (mime: string | readonly string[]) =>
      mime === 'text/x-ipython' ? ({ name: 'ipython' } as never) : null
  };

  it.each([
    ['text/x-ipython', 'python'],
    ['text/x-rsrc', 'rsrc'],
    ['strange', '']
  ])('of the type %s is %s', (mime, name) => {
    expect(languageName(registry, mime)).toBe(name);
  });
});

interface PromiseWithResolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: Error) => void;
}

function deferred<T>(): PromiseWithResolvers<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: Error) => void;
  const promise = new Promise<T>((yes, no) => {
    [resolve, reject] = [yes, no];
  });
  return { promise, resolve, reject };
}
