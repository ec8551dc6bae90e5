import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from '../../shared/request';
import { asAidpError } from '../../shared/request';
import type { AiApi } from '../api';
import type { IPullStep } from '../wire';

/** A model on its way to this machine, or what became of it. */
export interface IPull {
  readonly model: string;
  readonly state: 'running' | 'done' | 'failed';
  /** What is being done, in the words of the model server. */
  readonly status: string;
  /** In bytes, over all parts of which the server has told so far; 0 before the first. */
  readonly completed: number;
  readonly total: number;
  readonly error: AidpError | null;
}

/** Downloads of models, one for each provider. They go on while nobody looks. */
export class Pulls implements IDisposable {
  constructor(private _api: Pick<AiApi, 'pull'>) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** A model has arrived. */
  get arrived(): ISignal<this, string> {
    return this._arrived;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  of(provider: string): IPull | null {
    return this._pulls.get(provider) ?? null;
  }

  async start(provider: string, model: string): Promise<void> {
    this.stop(provider);
    const abort = new AbortController();
    this._aborts.set(provider, abort);
    const parts = new Map<string, IPullStep>();
    let pull: IPull = { model, ...START };
    const tell = (news: Partial<IPull>) => {
      if (!abort.signal.aborted) {
        pull = { ...pull, ...news };
        this._pulls.set(provider, pull);
        this._changed.emit();
      }
    };
    tell({});
    try {
      for await (const step of this._api.pull(provider, model, abort.signal)) {
        tell({ status: step.status, ...progress(parts, step) });
      }
      tell({ state: 'done' });
      this._arrived.emit(provider);
    } catch (error) {
      tell({ state: 'failed', error: asAidpError(error) });
    }
  }

  /** Cancel what is under way, or forget what is over. */
  stop(provider: string): void {
    this._aborts.get(provider)?.abort();
    this._aborts.delete(provider);
    if (this._pulls.delete(provider)) {
      this._changed.emit();
    }
  }

  dispose(): void {
    this._isDisposed = true;
    this._aborts.forEach(abort => abort.abort());
    Signal.clearData(this);
  }

  private _aborts = new Map<string, AbortController>();
  private _arrived = new Signal<this, string>(this);
  private _changed = new Signal<this, void>(this);
  private _isDisposed = false;
  private _pulls = new Map<string, IPull>();
}

const START: Omit<IPull, 'model'> = {
  state: 'running',
  status: '',
  completed: 0,
  total: 0,
  error: null
};

/** The sums over all parts: each has its own count, and a bar that starts anew with each would tell little. */
export function progress(
  parts: Map<string, IPullStep>,
  step: IPullStep
): Pick<IPull, 'completed' | 'total'> {
  if (step.total) {
    parts.set(step.status, step);
  }
  let completed = 0;
  let total = 0;
  for (const part of parts.values()) {
    completed += part.completed ?? 0;
    total += part.total ?? 0;
  }
  return { completed, total };
}
