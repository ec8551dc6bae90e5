import type {
  IInlineCompletionContext,
  IInlineCompletionProvider
} from '@jupyterlab/completer';
import { Text } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import type { AidpInlineProvider } from '../src/ai/completion';
import { AidpServer } from '../src/shared/request';

export const trans = nullTranslator.load('aidp_ext');

/** One call as it arrived at the wire. */
export interface ICalled {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  readonly body: unknown;
  readonly signal: AbortSignal;
}

/** aidp's server with a fake wire: everything above fetch is real. */
export function serverWith(
  answer: (called: ICalled) => Response | Promise<Response>
): { readonly server: AidpServer; readonly calls: ICalled[] } {
  const calls: ICalled[] = [];
  const settings = ServerConnection.makeSettings({
    baseUrl: 'http://lab.test/user/ana/',
    fetch: async (input: RequestInfo | URL, init?: RequestInit) => {
      const request = new Request(input, init);
      const url = new URL(request.url);
      const text = await request.text();
      const called: ICalled = {
        method: request.method,
        path: url.pathname,
        headers: request.headers,
        body: text ? JSON.parse(text) : null,
        signal: request.signal
      };
      calls.push(called);
      return answer(called);
    }
  });
  return { server: new AidpServer(settings, trans), calls };
}

export function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), { status });
}

/** A body that comes in exactly these chunks. */
export function chunks(...parts: (string | Uint8Array)[]): {
  readonly body: ReadableStream<Uint8Array>;
  readonly isCancelled: () => boolean;
} {
  const encoder = new TextEncoder();
  const queue = parts.map(part =>
    typeof part === 'string' ? encoder.encode(part) : part
  );
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const part = queue.shift();
        if (part) {
          controller.enqueue(part);
        } else {
          controller.close();
        }
      },
      cancel() {
        cancelled = true;
      }
    },
    { highWaterMark: 0 }
  );
  return { body, isCancelled: () => cancelled };
}

/** A model that speaks when told to, and hears when the connection closes. */
export class FakeModel {
  constructor(called: ICalled) {
    this.request = called.body as FakeModel['request'];
    called.signal.addEventListener('abort', () => {
      this.isAborted = true;
      this._controller.error(called.signal.reason);
    });
    this.response = new Response(
      new ReadableStream<Uint8Array>({
        start: controller => {
          this._controller = controller;
        },
        cancel: () => {
          this.isLeft = true;
        }
      }),
      {
        headers: {
          'X-AIDP-Route': 'ollama/qwen',
          'X-AIDP-Reason': 'local_first',
          'X-AIDP-Attempts': '1',
          'X-AIDP-Locality': 'local'
        }
      }
    );
  }

  readonly request: {
    readonly prompt: string;
    readonly suffix: string;
    readonly stop?: string[];
    readonly temperature: number;
    readonly stream: boolean;
    readonly model: string;
  };
  readonly response: Response;
  isAborted = false;
  /** Nobody reads on. */
  isLeft = false;

  say(text: string): Promise<void> {
    this._send(JSON.stringify({ choices: [{ text, index: 0 }] }));
    return settled();
  }

  end(): Promise<void> {
    this._send('[DONE]');
    this._controller.close();
    return settled();
  }

  fail(code: string, message: string): Promise<void> {
    this._send(JSON.stringify({ error: { code, message, details: {} } }));
    this._controller.close();
    return settled();
  }

  /** The connection ends in good order, but before the answer does. */
  close(): Promise<void> {
    this._controller.close();
    return settled();
  }

  breakOff(): Promise<void> {
    this._controller.error(new TypeError('network error'));
    return settled();
  }

  private _send(data: string): void {
    this._controller.enqueue(new TextEncoder().encode(`data: ${data}\n\n`));
  }

  private _controller!: ReadableStreamDefaultController<Uint8Array>;
}

/**
 * Lab's editor and inline completer, as far as a provider meets them: asks at each key, before anyone else hears of
 * it; shows what comes first and then the stream; drops what a newer key made old. `|` in a text is the cursor.
 */
export class FakeLab {
  constructor(
    private _provider: IInlineCompletionProvider,
    marked = '|'
  ) {
    this.offset = marked.indexOf('|');
    this.text = marked.replace('|', '');
    this._changed.connect(() => void this._ask(1));
  }

  text: string;
  offset: number;
  /** What is painted at the cursor; null when nothing is. */
  ghost: string | null = null;

  async type(text: string): Promise<void> {
    for (const key of text) {
      this._insert(key);
      await settled();
    }
  }

  async backspace(): Promise<void> {
    this.text =
      this.text.slice(0, this.offset - 1) + this.text.slice(this.offset);
    this.offset--;
    this.ghost = null;
    this._changed.emit(undefined);
    this._moved.emit(undefined);
    await settled();
  }

  async deleteNext(): Promise<void> {
    const { offset } = this;
    this.text = this.text.slice(0, offset) + this.text.slice(offset + 1);
    this.ghost = null;
    this._changed.emit(undefined);
    await settled();
  }

  /** Alt+\\ */
  async invoke(): Promise<void> {
    void this._ask(0);
    await settled();
  }

  /** Alt+]: Lab shows the next of what it was handed, then tells that its command ran. */
  async next(): Promise<void> {
    const go = () => {
      const at = this._choices.indexOf(this.ghost!) + 1;
      this.ghost = this._choices[at % this._choices.length]!;
    };
    go();
    void (this._provider as AidpInlineProvider).cycle(go);
    await settled();
  }

  /** Tab: Lab inserts what it shows, then tells that its command ran. */
  async accept(): Promise<void> {
    const text = this.ghost!;
    this.ghost = null;
    this._insert(text);
    (this._provider as AidpInlineProvider).accepted();
    await settled();
  }

  async moveTo(offset: number): Promise<void> {
    this.offset = offset;
    this.ghost = null;
    this._moved.emit(undefined);
    await settled();
  }

  async blur(): Promise<void> {
    this.ghost = null;
    for (const listener of this._blurred) {
      listener({ relatedTarget: null } as FocusEvent);
    }
    await settled();
  }

  /** The cell is deleted: its editor loses no focus. */
  async remove(): Promise<void> {
    this._editor.isDisposed = true;
    this.ghost = null;
    this._disposed.emit(undefined);
    await settled();
  }

  private _insert(text: string): void {
    const { offset } = this;
    this.text = this.text.slice(0, offset) + text + this.text.slice(offset);
    this.offset += text.length;
    this.ghost = this.ghost?.startsWith(text)
      ? this.ghost.slice(text.length) || null
      : null;
    this._changed.emit(undefined);
    this._moved.emit(undefined);
  }

  private async _ask(triggerKind: 0 | 1): Promise<void> {
    const turn = ++this._turn;
    const { items } = await this._provider.fetch(
      {
        text: this.text,
        offset: Text.jsIndexToCharIndex(this.offset, this.text)
      },
      {
        triggerKind,
        editor: this._editor,
        widget: null
      } as unknown as IInlineCompletionContext
    );
    const item = items[0];
    if (turn !== this._turn || !item) {
      return;
    }
    this._choices = items.map(({ insertText }) => insertText);
    // What the user looks at stays.
    if (!this._choices.includes(this.ghost ?? '')) {
      this.ghost = item.insertText;
    }
    if (item.isIncomplete && item.token) {
      for await (const { response } of this._provider.stream!(item.token)) {
        this.ghost = response.insertText;
      }
    }
  }

  private _choices: string[] = [];
  private _blurred = new Set<(event: FocusEvent) => void>();
  private _changed = new Signal<this, unknown>(this);
  private _disposed = new Signal<this, unknown>(this);
  private _moved = new Signal<this, unknown>(this);
  private _turn = 0;
  private _cursor = () => ({ line: 0, column: this.offset });

  /** What a provider is handed as the editor. */
  private _editor = {
    uuid: 'editor-1',
    isDisposed: false,
    model: {
      sharedModel: {
        changed: this._changed,
        disposed: this._disposed,
        getSource: () => this.text
      },
      selections: { changed: this._moved }
    },
    host: {
      querySelector: () =>
        this.ghost === null ? null : { textContent: this.ghost },
      addEventListener: (_: string, on: (event: FocusEvent) => void) =>
        this._blurred.add(on),
      removeEventListener: (_: string, on: (event: FocusEvent) => void) =>
        this._blurred.delete(on)
    },
    getCursorPosition: this._cursor,
    getOffsetAt: ({ column }: { column: number }) => column,
    getSelection: () => ({ start: this._cursor(), end: this._cursor() }),
    editor: {
      state: { replaceSelection: (text: string) => text },
      dispatch: (text: string) => this._insert(text)
    }
  };
}

/** Let everything that is ready happen. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    await new Promise(resolve => setTimeout(resolve));
  }
}
