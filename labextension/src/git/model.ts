import type { IDisposable } from '@lumino/disposable';
import { Debouncer, Poll } from '@lumino/polling';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from '../shared/request';
import { asAidpError } from '../shared/request';
import { Accounts } from './accounts';
import type { GitApi } from './api';
import { Clones } from './clones';
import type { IKept } from './draft';
import type { IShipOptions } from './repository';
import { Repository } from './repository';
import type { IRepositoryPage, IRepositoryState } from './wire';

/** How often to look while the panel is seen: usually, and while something is under way elsewhere. */
const CALM_MS = 10_000;
const BUSY_MS = 2_000;
/** A way through folders and documents is over after that. */
const REST_MS = 250;
/** Saves that come together are one reason to look. */
const SAVED_MS = 500;
/** Coming back to the window looks at the files too, but not at every glance. */
const GLANCE_MS = 5_000;

export interface IGitModelOptions {
  readonly api: GitApi;
  readonly kept?: (path: string) => IKept;
}

/** Which repository the user works in, and how it is. It asks only while it is seen. */
export class GitModel implements IDisposable {
  constructor(private _given: IGitModelOptions) {
    const { api } = _given;
    this.accounts = new Accounts(api);
    this.clones = new Clones(api);
    this.clones.changed.connect(() => this._changed.emit());
    this._poll = new Poll({
      name: 'aidp-ext:git',
      auto: false,
      factory: () => this._watch(),
      frequency: { interval: CALM_MS, backoff: true, max: 60_000 },
      standby: () => (this._isVisible ? 'when-hidden' : true)
    });
  }

  readonly accounts: Accounts;
  readonly clones: Clones;
  readonly options: IShipOptions = {
    how: null,
    opensRequest: true,
    isDraft: false
  };

  /** Something below changed, or something of the repository. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Something was done to a repository here: what others show of it is old. */
  get acted(): ISignal<this, Repository> {
    return this._acted;
  }

  /** Where the user is: a file or folder below the workspace; null until that is known. */
  get location(): string | null {
    return this._location;
  }

  /** The folder of that. */
  get folder(): string {
    return this._folder;
  }

  /** Null where there is none, and until the first answer. */
  get repository(): Repository | null {
    return this._repository;
  }

  /** Why it is not known. That there is none is no error. */
  get error(): AidpError | null {
    return this._error;
  }

  /** Whether the server has answered for where the user is. */
  get isKnown(): boolean {
    return this._isKnown;
  }

  get isVisible(): boolean {
    return this._isVisible;
  }

  set isVisible(isVisible: boolean) {
    if (isVisible === this._isVisible) {
      return;
    }
    this._isVisible = isVisible;
    if (isVisible) {
      this._isFullDue = true;
      void this._poll.refresh();
      void this._repository?.shipping.load();
      void this._repository?.loadRequest();
    } else {
      void this._poll.stop();
    }
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** The user is somewhere else: in a document, or in a folder of the file browser. */
  follow(location: string, folder: string): void {
    if (location !== this._location || folder !== this._folder) {
      this._location = location;
      this._folder = folder;
      if (this._isVisible) {
        void this._moved.invoke();
      }
    }
  }

  /** A file was written. */
  saved(path: string): void {
    const top = this._repository?.path;
    if (this._isVisible && top !== undefined && isWithin(path, top)) {
      void this._saved.invoke();
    }
  }

  /** The user is back: programs may have written files that no one told of. */
  glanced(): void {
    if (this._isVisible && Date.now() - this._lookedAt > GLANCE_MS) {
      void this.look(true);
    }
  }

  /** Look at everything of the repository anew. */
  async refresh(): Promise<void> {
    await this.look(true);
    await Promise.all([
      this._repository?.shipping.load(),
      this._repository?.loadRequest()
    ]);
  }

  /** Ask for the state; `isFull` also where nothing seems to have changed. Never rejects. */
  async look(isFull: boolean): Promise<void> {
    const location = this._location;
    if (location === null) {
      return;
    }
    this._abort.abort();
    const { signal } = (this._abort = new AbortController());
    // One that is given up for this one may have been a full one.
    this._isFullDue ||= isFull;
    const here = this._repository;
    const isSame = here && !this._error && isWithin(location, here.path);
    const known = isSame && !this._isFullDue ? here.state.fingerprint : null;
    const version = here?.version;
    try {
      const state = await this._given.api.state(location, known, signal);
      if (signal.aborted) {
        return;
      }
      if (known === null) {
        this._isFullDue = false;
        this._lookedAt = Date.now();
      }
      // What was done meanwhile is newer.
      if (version !== here?.version) {
        return;
      }
      if (!('unchanged' in state)) {
        this.adopt(state);
      }
    } catch (reason) {
      if (!signal.aborted) {
        this._miss(asAidpError(reason));
      }
    }
  }

  /** Begin a repository in the folder where the user is. Rejects with words for the user. */
  async init(): Promise<void> {
    this.adopt(await this._given.api.init(this._folder));
  }

  /** Something outside changed of which others show something. */
  tell(): void {
    this._changed.emit();
  }

  /** The user's repositories on a forge. Rejects with words for the user. */
  repositories(
    host: string,
    words: string,
    page: number,
    signal: AbortSignal
  ): Promise<IRepositoryPage> {
    return this._given.api.repositories(host, words, page, signal);
  }

  /** Take a state as that of where the user is. */
  adopt(state: IRepositoryState): void {
    const found = this._repositories.get(state.path) ?? this._add(state);
    const isOther = found !== this._repository;
    this._repository = found;
    this._isKnown = true;
    this._error = null;
    found.take(state);
    if (isOther) {
      this._changed.emit();
      void found.shipping.load();
      void found.loadRequest();
    }
  }

  get disposed(): ISignal<this, void> {
    return this._disposed;
  }

  dispose(): void {
    this._isDisposed = true;
    this._disposed.emit();
    this._abort.abort();
    this._poll.dispose();
    this._moved.dispose();
    this._saved.dispose();
    this.accounts.dispose();
    this.clones.dispose();
    this._repositories.forEach(one => one.dispose());
    Signal.clearData(this);
  }

  private _add(state: IRepositoryState): Repository {
    const { api, kept } = this._given;
    const added: Repository = new Repository(state, {
      api,
      options: this.options,
      kept: kept?.(state.path),
      acted: isFresh => {
        this._acted.emit(added);
        if (!isFresh && added === this._repository) {
          void this.look(true);
        }
      }
    });
    added.changed.connect(() => {
      if (added === this._repository) {
        this._changed.emit();
      }
    });
    this._repositories.set(state.path, added);
    return added;
  }

  private _miss(error: AidpError): void {
    this._isKnown = true;
    if (error.code === 'not_a_repository') {
      this._repository = null;
      this._error = null;
    } else {
      this._error = error;
    }
    this._changed.emit();
  }

  private async _watch(): Promise<void> {
    await this.look(false);
    const here = this._repository;
    if (here?.shipping.isUnheard) {
      await here.shipping.load();
    }
    if (
      here?.request.value?.checks?.state === 'pending' ||
      here?.shipping.isFollowingChecks
    ) {
      await here.loadRequest();
    }
    const interval = here?.shipping.isUnheard ? BUSY_MS : CALM_MS;
    if (!this._isDisposed && this._poll.frequency.interval !== interval) {
      this._poll.frequency = { ...this._poll.frequency, interval };
    }
    if (this._error) {
      throw this._error;
    }
  }

  private _abort = new AbortController();
  private _acted = new Signal<this, Repository>(this);
  private _changed = new Signal<this, void>(this);
  private _disposed = new Signal<this, void>(this);
  private _error: AidpError | null = null;
  private _folder = '';
  private _isDisposed = false;
  /** Whether the files are to be looked at, not only whether Git has done something. */
  private _isFullDue = false;
  private _isKnown = false;
  private _isVisible = false;
  private _location: string | null = null;
  private _lookedAt = 0;
  private _moved = new Debouncer(() => this.look(false), REST_MS);
  private _poll: Poll;
  private _repositories = new Map<string, Repository>();
  private _repository: Repository | null = null;
  private _saved = new Debouncer(() => this.look(true), SAVED_MS);
}

function isWithin(path: string, top: string): boolean {
  return top === '' || path === top || path.startsWith(`${top}/`);
}
