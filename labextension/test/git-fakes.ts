import { ServerConnection } from '@jupyterlab/services';

import { GitApi } from '../src/git/api';
import type {
  IChange,
  IFinding,
  IRepositoryState,
  IShipJob,
  IShipStep,
  StepName
} from '../src/git/wire';
import { AidpServer } from '../src/shared/request';
import { trans } from './fakes';

/** One call as it arrived at the wire: `GET git/state?path=a`. */
export interface IGitCalled {
  readonly what: string;
  readonly query: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
}

/** The API over a fake wire; what has no answer is answered with an empty object. */
export function apiWith(
  answer: (called: IGitCalled) => Response | Promise<Response> | null
): { readonly api: GitApi; readonly calls: IGitCalled[] } {
  const calls: IGitCalled[] = [];
  const settings = ServerConnection.makeSettings({
    baseUrl: 'http://lab.test/',
    fetch: async (input: RequestInfo | URL, init?: RequestInit) => {
      const request = new Request(input, init);
      const url = new URL(request.url);
      const text = await request.text();
      const path = url.pathname.replace('/aidp/git/', '');
      const called = {
        what: `${request.method} ${path}`,
        // Without the time that Lab adds against caches.
        query: Object.fromEntries(
          [...url.searchParams].filter(([name]) => !/^\d+$/.test(name))
        ),
        body: text ? JSON.parse(text) : {},
        signal: request.signal
      };
      calls.push(called);
      return (await answer(called)) ?? new Response('{}');
    }
  });
  return { api: new GitApi(new AidpServer(settings, trans)), calls };
}

/** A stream that the test feeds. */
export class Feed {
  readonly response = new Response(
    new ReadableStream<Uint8Array>({
      start: controller => {
        this._controller = controller;
      },
      cancel: () => {
        this.isCancelled = true;
      }
    })
  );

  isCancelled = false;

  send(...events: unknown[]): void {
    for (const event of events) {
      this._write(JSON.stringify(event));
    }
  }

  end(): void {
    this._write('[DONE]');
    this.breakOff();
  }

  /** Without a word that it is done. */
  breakOff(): void {
    this._controller.close();
  }

  private _write(data: string): void {
    this._controller.enqueue(new TextEncoder().encode(`data: ${data}\n\n`));
  }

  declare private _controller: ReadableStreamDefaultController<Uint8Array>;
}

export function change(news: Partial<IChange> = {}): IChange {
  return {
    path: 'a.py',
    kind: 'modified',
    staged: 'no',
    old_path: null,
    added: 1,
    removed: 0,
    size: 10,
    submodule: false,
    summary: null,
    ...news
  };
}

export function state(news: Partial<IRepositoryState> = {}): IRepositoryState {
  return {
    path: 'work/titanic',
    name: 'titanic',
    branch: 'feature/age',
    head: 'a1b2c3d4',
    upstream: 'origin/feature/age',
    ahead: 0,
    behind: 0,
    operation: null,
    changes: [],
    more: 0,
    remotes: [
      {
        name: 'origin',
        url: 'https://github.com/ana/titanic',
        host: 'github.com',
        full_name: 'ana/titanic'
      }
    ],
    last: null,
    can_undo: false,
    lock_age_s: null,
    fingerprint: 'one',
    ...news
  };
}

export function finding(news: Partial<IFinding> = {}): IFinding {
  return {
    id: 'f1',
    check: 'secrets',
    severity: 'block',
    path: 'a.py',
    message: 'An AWS key.',
    line: 3,
    cell: null,
    cell_id: null,
    size: null,
    fixes: [],
    can_waive: true,
    output: null,
    ...news
  };
}

const STEPS: readonly StepName[] = ['preflight', 'commit', 'push'];

export function job(
  news: Partial<IShipJob> = {},
  ...states: IShipStep['state'][]
): IShipJob {
  return {
    id: 'j1',
    path: 'work/titanic',
    state: 'running',
    steps: STEPS.map((name, index) => ({
      name,
      state: states[index] ?? 'waiting',
      text: '',
      error:
        states[index] === 'failed'
          ? { code: 'remote_moved', message: 'It moved.', details: null }
          : null
    })),
    message: 'feat: age',
    branch: 'feature/age',
    commit: null,
    pull_request: null,
    started_at: '2026-01-01T00:00:00Z',
    updated_at: `2026-01-01T00:00:0${states.length}Z`,
    ...news
  };
}
