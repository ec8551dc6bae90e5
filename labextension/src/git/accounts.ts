import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { AidpError, asAidpError } from '../shared/request';
import { Resource } from '../shared/resource';
import type { GitApi } from './api';
import type { IAccount, IDeviceCode, IDeviceState } from './wire';

/** Signing in with a code that is typed in the browser. */
export interface IDeviceFlow {
  readonly host: string;
  /** Null until the forge has given one. */
  readonly code: IDeviceCode | null;
  readonly state: IDeviceState['state'] | 'failed';
  readonly error: AidpError | null;
}

/** Never ask more often, whatever the forge says. */
const LEAST_S = 1;

/** Who the user is on the forges. No token stays here. */
export class Accounts implements IDisposable {
  constructor(
    private _api: Pick<
      GitApi,
      | 'accounts'
      | 'addAccount'
      | 'addServer'
      | 'removeAccount'
      | 'startDevice'
      | 'device'
    >
  ) {
    this.list = new Resource(signal => _api.accounts(signal));
    this.list.changed.connect(() => this._changed.emit());
  }

  readonly list: Resource<readonly IAccount[]>;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get flow(): IDeviceFlow | null {
    return this._flow;
  }

  /** Those with which repositories can be listed. */
  get usable(): readonly IAccount[] {
    return (this.list.value ?? []).filter(
      ({ source, problem }) => source !== 'none' && !problem
    );
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Rejects with words for the user. */
  async add(
    host: string,
    kind: IAccount['kind'],
    token: string
  ): Promise<void> {
    await this._api.addAccount(host, kind, token);
    await this.list.load();
  }

  /** By the address of its server. Rejects with words for the user. */
  async addServer(
    url: string,
    kind: IAccount['kind'],
    token: string
  ): Promise<void> {
    await this._api.addServer(url, kind, token);
    await this.list.load();
  }

  async remove(host: string): Promise<void> {
    await this._api.removeAccount(host);
    await this.list.load();
  }

  /** Begin to sign in, and wait until the user has done it in the browser. Never rejects. */
  async signIn(host: string): Promise<void> {
    this._abort.abort();
    const { signal } = (this._abort = new AbortController());
    const tell = (news: Partial<IDeviceFlow>) => {
      if (!signal.aborted) {
        this._flow = { ...(this._flow ?? start(host)), ...news };
        this._changed.emit();
      }
    };
    this._flow = null;
    tell({});
    try {
      const code = await this._api.startDevice(host, signal);
      tell({ code });
      let state: IDeviceState['state'] = 'waiting';
      while (state === 'waiting') {
        await pause(Math.max(LEAST_S, code.interval_s) * 1000, signal);
        ({ state } = await this._api.device(code.id, signal));
        tell({ state });
      }
      if (state === 'done' && !signal.aborted) {
        await this.list.load();
        this.stop();
      }
    } catch (reason) {
      tell({ state: 'failed', error: asAidpError(reason) });
    }
  }

  /** Wait no longer. */
  stop(): void {
    this._abort.abort();
    if (this._flow) {
      this._flow = null;
      this._changed.emit();
    }
  }

  dispose(): void {
    this._isDisposed = true;
    this._abort.abort();
    this.list.dispose();
    Signal.clearData(this);
  }

  private _abort = new AbortController();
  private _changed = new Signal<this, void>(this);
  private _flow: IDeviceFlow | null = null;
  private _isDisposed = false;
}

function start(host: string): IDeviceFlow {
  return { host, code: null, state: 'waiting', error: null };
}

/** Some time; rejects when it is not wanted any more. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(new AidpError('cancelled', 'cancelled'));
    });
  });
}
