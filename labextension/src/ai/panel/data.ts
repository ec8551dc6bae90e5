import type { IDisposable } from '@lumino/disposable';
import { Poll, Throttler } from '@lumino/polling';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { Feed } from '../../shared/feed';
import { Resource } from '../../shared/resource';
import type { AiApi } from '../api';
import type { IAiModel } from '../tokens';
import type { ICallRecord, IRules } from '../wire';
import { Pulls } from './pulls';

/** How often to look while the panel is seen: usually, and while something is under way. */
const CALM_MS = 10_000;
const BUSY_MS = 2_000;
/** What changes seldom is asked for less often. */
const SELDOM_MS = 30_000;
/** Calls that end together are one reason to look. */
const GATHER_MS = 300;
/** How many calls are listed, at first and on demand. */
const FEW = 50;
const MANY = 200;

/** What the panel knows beyond the model, and when it asks: only while it is seen. */
export class PanelData implements IDisposable {
  constructor(
    private _api: AiApi,
    private _model: IAiModel
  ) {
    this.calls = new Resource(signal => _api.calls(this._limit, signal));
    this.rules = new Resource(signal => _api.rules(signal));
    this.pulls = new Pulls(_api);
    this.calls.changed.connect(() => {
      this.feed.take(this.calls.value ?? []);
    });
    this.pulls.arrived.connect(() => void _model.check());
    _model.callEnded.connect(() => {
      if (this._isVisible) {
        void this._soon.invoke();
      }
    });
    this._poll = new Poll({
      name: 'aidp-ext:ai-panel',
      auto: false,
      factory: () => this._look(),
      frequency: { interval: CALM_MS, backoff: true, max: 60_000 },
      standby: () => (this._isVisible ? 'when-hidden' : true)
    });
  }

  readonly calls: Resource<readonly ICallRecord[]>;
  readonly rules: Resource<IRules>;
  readonly pulls: Pulls;
  /** The calls as they are shown. */
  readonly feed = new Feed<ICallRecord>();

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Whether the panel is seen, or not any more. */
  get visibilityChanged(): ISignal<this, boolean> {
    return this._visibilityChanged;
  }

  set isVisible(isVisible: boolean) {
    if (isVisible === this._isVisible) {
      return;
    }
    this._isVisible = isVisible;
    this._visibilityChanged.emit(isVisible);
    if (isVisible) {
      this._seldomAt = 0;
      void this.rules.load();
      void this._poll.refresh();
    } else {
      void this._poll.stop();
    }
  }

  /** Whether there may be older calls than those listed. */
  get hasMore(): boolean {
    return this._limit < MANY && (this.calls.value?.length ?? 0) >= FEW;
  }

  async loadMore(): Promise<void> {
    this._limit = MANY;
    await this.calls.load();
  }

  /** Ask for everything anew; the providers too are asked again. */
  async refresh(): Promise<void> {
    await Promise.all([
      this._model.check(),
      this._model.usage.load(),
      this.calls.load(),
      this.rules.load()
    ]);
  }

  async setKey(provider: string, key: string): Promise<void> {
    await this._api.setKey(provider, key);
    await this._model.check();
  }

  async removeKey(provider: string): Promise<void> {
    await this._api.removeKey(provider);
    await this._model.check();
  }

  dispose(): void {
    this._isDisposed = true;
    this._poll.dispose();
    this._soon.dispose();
    this.calls.dispose();
    this.rules.dispose();
    this.pulls.dispose();
    Signal.clearData(this);
  }

  private async _look(): Promise<void> {
    const seldom = Date.now() - this._seldomAt > SELDOM_MS;
    const before = digest(this.calls.value);
    await Promise.all([
      this.calls.load(),
      (seldom || this._isLoading) && this._model.loadProviders()
    ]);
    if (seldom || digest(this.calls.value) !== before) {
      this._seldomAt = Date.now();
      await this._model.usage.load();
    }
    const interval = this._isBusy ? BUSY_MS : CALM_MS;
    if (!this._isDisposed && this._poll.frequency.interval !== interval) {
      this._poll.frequency = { ...this._poll.frequency, interval };
    }
    if (this.calls.error) {
      throw this.calls.error;
    }
  }

  private get _isLoading(): boolean {
    const { providers } = this._model;
    return !!providers?.some(({ models }) =>
      models.some(({ state }) => state === 'loading')
    );
  }

  private get _isBusy(): boolean {
    const { value } = this.calls;
    return (
      this._isLoading || !!value?.some(({ outcome }) => outcome === 'running')
    );
  }

  private _isDisposed = false;
  private _isVisible = false;
  private _limit = FEW;
  private _poll: Poll;
  private _seldomAt = 0;
  private _soon = new Throttler(() => this._poll.refresh(), {
    limit: GATHER_MS,
    edge: 'trailing'
  });
  private _visibilityChanged = new Signal<this, boolean>(this);
}

/** The same as long as nothing began or ended. */
function digest(calls: readonly ICallRecord[] | null): string {
  return (calls ?? []).map(({ id, outcome }) => `${id} ${outcome}`).join();
}
