import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from './request';
import { asAidpError } from './request';

/** Something that the server knows: what it said last, or why it did not. */
export interface IResource<T> {
  /** Something below changed. */
  readonly changed: ISignal<IResource<T>, void>;
  /** Null until the first answer. A later failure leaves it as it is. */
  readonly value: T | null;
  /** Why the last question had no answer. */
  readonly error: AidpError | null;
  /** Ask. Never rejects: a failure becomes `error`. */
  load(): Promise<void>;
}

/** Asks one question at a time: who asks meanwhile gets the answer to one more question, asked after that. */
export class Resource<T> implements IResource<T>, IDisposable {
  constructor(private _ask: (signal: AbortSignal) => Promise<T>) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get value(): T | null {
    return this._value;
  }

  get error(): AidpError | null {
    return this._error;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  load(): Promise<void> {
    if (this._running) {
      this._next ??= this._running.then(() => {
        this._next = null;
        return this.load();
      });
      return this._next;
    }
    this._running = this._load().finally(() => {
      this._running = null;
    });
    return this._running;
  }

  /** Take what the server said elsewhere; an answer under way is older and is not heard. */
  set(value: T): void {
    this._abort.abort();
    this._value = value;
    this._error = null;
    this._changed.emit();
  }

  dispose(): void {
    this._isDisposed = true;
    this._abort.abort();
    Signal.clearData(this);
  }

  private async _load(): Promise<void> {
    if (this._isDisposed) {
      return;
    }
    this._abort = new AbortController();
    const { signal } = this._abort;
    try {
      const value = await this._ask(signal);
      if (!signal.aborted) {
        this._value = value;
        this._error = null;
      }
    } catch (error) {
      if (!signal.aborted) {
        this._error = asAidpError(error);
      }
    }
    if (!signal.aborted) {
      this._changed.emit();
    }
  }

  private _abort = new AbortController();
  private _changed = new Signal<this, void>(this);
  private _error: AidpError | null = null;
  private _isDisposed = false;
  private _next: Promise<void> | null = null;
  private _running: Promise<void> | null = null;
  private _value: T | null = null;
}
