import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from '../shared/request';
import { asAidpError } from '../shared/request';
import { Resource } from '../shared/resource';
import type { AiApi } from './api';
import type { IContext } from './context/wire';
import type { AiState, IAiModel, ICall, ICounts } from './tokens';
import type {
  IAnswered,
  IDecision,
  IMode,
  IModes,
  IProvider,
  IUsage
} from './wire';

/** How long the first word may take before the status says so. */
const SLOW_MS = 1500;

/** Holds what is known of the router, and tells when it changes. */
export class AiModel implements IAiModel, IDisposable {
  constructor(
    private _api: Pick<
      AiApi,
      'mode' | 'setMode' | 'route' | 'providers' | 'usage'
    >
  ) {
    this.usage = new Resource(signal => _api.usage(signal));
  }

  readonly usage: Resource<IUsage>;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get callEnded(): ISignal<this, void> {
    return this._callEnded;
  }

  get state(): AiState {
    if (this._slow.size > 0) {
      return 'waiting';
    }
    if (this.error) {
      return this.error.code === 'not_found' ? 'none' : 'error';
    }
    return this._decision?.locality ?? 'none';
  }

  get known(): boolean {
    return this._decision !== null || this.error !== null;
  }

  get reachable(): boolean {
    const code = this._serverError?.code;
    const cutOff = code === 'offline_server' || code === 'not_found';
    return !cutOff && this._decision?.route !== null;
  }

  get mode(): string {
    return this._mode;
  }

  get modes(): readonly IMode[] {
    return this._modes;
  }

  get decision(): IDecision | null {
    return this._decision;
  }

  get lastAnswer(): IAnswered | null {
    return this._lastAnswer;
  }

  get lastContext(): IContext | null {
    return this._lastContext;
  }

  get error(): AidpError | null {
    return this._serverError ?? this._callError;
  }

  get counts(): ICounts {
    return this._counts;
  }

  get providers(): readonly IProvider[] | null {
    return this._providers;
  }

  get keysAllowed(): boolean {
    return this._keysAllowed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    this.usage.dispose();
    Signal.clearData(this);
  }

  async refresh(): Promise<void> {
    await this._ask('state', async () => {
      const modes = await this._api.mode();
      const decision = await this._api.route({ task: 'complete' });
      return () => {
        this._take(modes);
        this._decision = decision;
      };
    });
  }

  async loadProviders(): Promise<void> {
    if (this._serverError?.code !== 'not_found') {
      await this._loadProviders(false);
    }
  }

  async check(): Promise<void> {
    this._callError = null;
    await this._loadProviders(true);
    await this.refresh();
  }

  async setMode(mode: string): Promise<void> {
    const turn = ++this._turns.state;
    const previous = this._mode;
    // Shown at once, so that a radio button does not spring back while the server answers.
    this._mode = mode;
    this._changed.emit();
    try {
      const modes = await this._api.setMode(mode);
      if (turn === this._turns.state) {
        this._take(modes);
        this._callError = null;
        await this.refresh();
      }
    } catch (error) {
      this._callError = asAidpError(error);
      if (turn === this._turns.state) {
        this._mode = previous;
      }
      this._changed.emit();
    }
  }

  track(): ICall {
    const call = {};
    const slow = setTimeout(() => {
      this._slow.add(call);
      this._changed.emit();
    }, SLOW_MS);
    const hurry = () => {
      clearTimeout(slow);
      if (this._slow.delete(call)) {
        this._changed.emit();
      }
    };
    let news = false;
    return {
      answeredBy: by => {
        news =
          by.route !== this._lastAnswer?.route &&
          by.route !== this._decision?.route;
        this._lastAnswer = by;
        this._changed.emit();
      },
      arrived: hurry,
      cancelled: () => {
        hurry();
        this._callEnded.emit();
      },
      done: () => {
        hurry();
        this._callEnded.emit();
        if (this._callError) {
          this._callError = null;
          this._changed.emit();
        }
        if (news) {
          void this.refresh();
        }
      },
      failed: error => {
        hurry();
        this._callEnded.emit();
        const repeated = error.code === this._callError?.code;
        // That no model can be reached is a state, not a mishap: `refresh` words it better.
        if (error.code !== 'no_model_available') {
          this._callError = error;
          this._changed.emit();
        }
        if (!repeated) {
          void this.refresh();
        }
      }
    };
  }

  count(what: keyof ICounts): void {
    this._counts = { ...this._counts, [what]: this._counts[what] + 1 };
    this._changed.emit();
  }

  told(context: IContext | null): void {
    this._lastContext = context;
    this._changed.emit();
  }

  private _loadProviders(probe: boolean): Promise<void> {
    return this._ask('providers', async () => {
      const { providers, keys_allowed } = await this._api.providers(probe);
      return () => {
        this._providers = providers;
        this._keysAllowed = keys_allowed;
      };
    });
  }

  private _take(modes: IModes): void {
    this._mode = modes.mode;
    this._modes = modes.modes;
  }

  /** Ask the server; of several questions about one thing only the latest is heard. */
  private async _ask(
    about: keyof AiModel['_turns'],
    question: () => Promise<() => void>
  ): Promise<void> {
    const turn = ++this._turns[about];
    let outcome: () => void;
    try {
      const apply = await question();
      outcome = () => {
        apply();
        this._serverError = null;
      };
    } catch (error) {
      outcome = () => {
        this._serverError = asAidpError(error);
      };
    }
    if (turn === this._turns[about] && !this._isDisposed) {
      outcome();
      this._changed.emit();
    }
  }

  private _callEnded = new Signal<this, void>(this);
  private _callError: AidpError | null = null;
  private _changed = new Signal<this, void>(this);
  private _counts: ICounts = { shown: 0, accepted: 0, rejected: 0 };
  private _decision: IDecision | null = null;
  private _isDisposed = false;
  private _keysAllowed = false;
  private _lastAnswer: IAnswered | null = null;
  private _lastContext: IContext | null = null;
  private _mode = 'hybrid';
  private _modes: readonly IMode[] = [];
  private _providers: readonly IProvider[] | null = null;
  private _serverError: AidpError | null = null;
  private _slow = new Set<object>();
  private _turns = { state: 0, providers: 0 };
}
