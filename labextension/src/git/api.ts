import { URLExt } from '@jupyterlab/coreutils';

import type { AidpServer } from '../shared/request';
import { AidpError } from '../shared/request';
import type {
  CloneEvent,
  IAccount,
  ICloneQuestion,
  IDeviceCode,
  IDeviceState,
  INowhere,
  IRepositoryPage,
  IRepositoryState,
  IRequestState,
  IRuns,
  IShipEvent,
  IShipJob,
  IShipQuestion,
  ISuggestions,
  IUnchanged,
  IUndone,
  Integration,
  MessageEvent,
  PreflightEvent
} from './wire';

/** What a message is wanted for. */
export interface IMessageQuestion {
  readonly path: string;
  readonly what: 'commit' | 'pull-request';
  readonly base?: string;
}

/** The Git slice's HTTP interface, typed. `path` is any file or folder of a repository, below the workspace. */
export class GitApi {
  constructor(private _server: AidpServer) {}

  /**
   * `known` is a fingerprint: while it is the same, little is asked of the server and less is answered. Where there is
   * no repository it rejects with `not_a_repository`.
   */
  async state(
    path: string,
    known: string | null,
    signal?: AbortSignal
  ): Promise<IRepositoryState | IUnchanged> {
    const query = { path, ...(known !== null && { known }) };
    const said = await this._server.json<
      IRepositoryState | IUnchanged | INowhere
    >(asking('git/state', query), { signal });
    if ('nowhere' in said) {
      const { message, next_step } = said;
      throw new AidpError('not_a_repository', message, 200, { next_step });
    }
    return said;
  }

  init(path: string): Promise<IRepositoryState> {
    return this._change('init', { path });
  }

  stage(
    path: string,
    files: readonly string[],
    staged: boolean
  ): Promise<IRepositoryState> {
    return this._change('stage', { path, files, staged });
  }

  fix(path: string, finding: string, fix: string): Promise<IRepositoryState> {
    return this._change('fix', { path, finding, fix });
  }

  waive(
    path: string,
    finding: string,
    reason: string
  ): Promise<IRepositoryState> {
    return this._change('waive', { path, finding, reason });
  }

  /** `how` null: as the server does. */
  pull(path: string, how: Integration | null): Promise<IRepositoryState> {
    return this._change('pull', { path, how });
  }

  /** Take back the last commit; its changes stay. */
  undo(path: string): Promise<IUndone> {
    return this._server.json('git/undo', sent({ path }));
  }

  /** Go on with a merge or rebase whose conflicts are settled. */
  carryOn(path: string): Promise<IRepositoryState> {
    return this._change('continue', { path });
  }

  /** Take back a merge or rebase that is under way. */
  abort(path: string): Promise<IRepositoryState> {
    return this._change('abort', { path });
  }

  branch(path: string, name: string): Promise<IRepositoryState> {
    return this._change('branch', { path, name });
  }

  /** Remove a lock that was left behind. */
  unlock(path: string): Promise<IRepositoryState> {
    return this._change('unlock', { path });
  }

  preflight(path: string, signal: AbortSignal): Events<PreflightEvent> {
    return this._events('git/preflight', { path }, signal);
  }

  message(
    question: IMessageQuestion,
    signal: AbortSignal
  ): Events<MessageEvent> {
    return this._events('git/message', question, signal);
  }

  ship(question: IShipQuestion, signal: AbortSignal): Events<IShipEvent> {
    return this._events('git/ship', question, signal);
  }

  resume(path: string, signal: AbortSignal): Events<IShipEvent> {
    return this._events('git/ship/resume', { path }, signal);
  }

  async job(path: string): Promise<IShipJob | null> {
    const { job } = await this._server.json<{ job: IShipJob | null }>(
      asking('git/ship', { path })
    );
    return job;
  }

  async cancel(path: string): Promise<IShipJob | null> {
    const { job } = await this._server.json<{ job: IShipJob | null }>(
      'git/ship/cancel',
      sent({ path })
    );
    return job;
  }

  /** Forget a job that is over. */
  async forget(path: string): Promise<void> {
    await this._server.open(asking('git/ship', { path }), {
      method: 'DELETE'
    });
  }

  request(path: string, signal?: AbortSignal): Promise<IRequestState> {
    return this._server.json(asking('git/pull-request', { path }), { signal });
  }

  runs(path: string, signal?: AbortSignal): Promise<IRuns> {
    return this._server.json(asking('git/runs', { path }), { signal });
  }

  suggestions(path: string, signal?: AbortSignal): Promise<ISuggestions> {
    return this._server.json(asking('git/suggestions', { path }), { signal });
  }

  async accounts(signal?: AbortSignal): Promise<readonly IAccount[]> {
    const { accounts } = await this._server.json<{ accounts: IAccount[] }>(
      'git/accounts',
      { signal }
    );
    return accounts;
  }

  addAccount(
    host: string,
    kind: IAccount['kind'],
    token: string
  ): Promise<IAccount> {
    return this._server.json('git/accounts', sent({ host, kind, token }));
  }

  /** A server that need not be known, by its https address. */
  addServer(
    url: string,
    kind: IAccount['kind'],
    token: string
  ): Promise<IAccount> {
    return this._server.json('git/accounts', sent({ url, kind, token }));
  }

  async removeAccount(host: string): Promise<void> {
    const name = encodeURIComponent(host);
    await this._server.open(`git/accounts/${name}`, { method: 'DELETE' });
  }

  startDevice(host: string, signal: AbortSignal): Promise<IDeviceCode> {
    return this._server.json('git/accounts/device', {
      ...sent({ host }),
      signal
    });
  }

  /** Ask whether the code was typed in. */
  device(id: string, signal: AbortSignal): Promise<IDeviceState> {
    const name = encodeURIComponent(id);
    return this._server.json(`git/accounts/device/${name}`, {
      ...sent({}),
      signal
    });
  }

  repositories(
    host: string,
    words: string,
    page: number,
    signal?: AbortSignal
  ): Promise<IRepositoryPage> {
    const query = { host, q: words, page: `${page}` };
    return this._server.json(asking('git/repositories', query), { signal });
  }

  clone(question: ICloneQuestion, signal: AbortSignal): Events<CloneEvent> {
    return this._events('git/clone', question, signal);
  }

  private _change(verb: string, body: unknown): Promise<IRepositoryState> {
    return this._server.json(`git/${verb}`, sent(body));
  }

  private async *_events<T>(
    path: string,
    body: unknown,
    signal: AbortSignal
  ): Events<T> {
    const response = await this._server.open(path, { ...sent(body), signal });
    yield* this._server.events<T>(response, signal);
  }
}

type Events<T> = AsyncGenerator<T, void, undefined>;

function asking(path: string, query: Record<string, string>): string {
  return path + URLExt.objectToQueryString(query);
}

function sent(body: unknown): RequestInit {
  return {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body)
  };
}
