import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from '../shared/request';
import { asAidpError } from '../shared/request';
import type { ActionsApi } from './api';
import type { IEnded } from './wire';

/** The last lines are kept: a run may print without end. */
const LINES = 2_000;

/** One run of a file of tests. */
export class TestRun implements IDisposable {
  constructor(
    readonly path: string,
    private _api: Pick<ActionsApi, 'runTests'>,
    /** Brings what is run to the disk. */
    private _save: () => Promise<void>
  ) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  get isRunning(): boolean {
    return this._isRunning;
  }

  get isStopped(): boolean {
    return this._abort.signal.aborted;
  }

  get lines(): readonly string[] {
    return this._lines;
  }

  /** How it ended; null while it runs, and where it did not end by itself. */
  get ended(): IEnded | null {
    return this._ended;
  }

  get error(): AidpError | null {
    return this._error;
  }

  async start(): Promise<void> {
    const { signal } = this._abort;
    this._isRunning = true;
    this._changed.emit();
    try {
      await this._save();
      signal.throwIfAborted();
      for await (const event of this._api.runTests(this.path, signal)) {
        if (event.type === 'line') {
          this._lines = [...this._lines.slice(1 - LINES), event.text];
        } else {
          this._ended = event;
        }
        this._changed.emit();
      }
    } catch (error) {
      if (!signal.aborted) {
        this._error = asAidpError(error);
      }
    }
    this._isRunning = false;
    this._changed.emit();
  }

  stop(): void {
    this._abort.abort();
  }

  dispose(): void {
    this._isDisposed = true;
    this._abort.abort();
    Signal.clearData(this);
  }

  private _abort = new AbortController();
  private _changed = new Signal<this, void>(this);
  private _ended: IEnded | null = null;
  private _error: AidpError | null = null;
  private _isDisposed = false;
  private _isRunning = false;
  private _lines: readonly string[] = [];
}
