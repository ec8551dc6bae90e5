import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from '../shared/request';
import { asAidpError } from '../shared/request';
import type { GitApi } from './api';
import type { IShipEvent, IShipJob, IShipQuestion } from './wire';

/** The job that ships a repository: as the server tells it, also of one that began before this page was loaded. */
export class Shipping implements IDisposable {
  constructor(
    private _api: Pick<GitApi, 'ship' | 'resume' | 'job' | 'cancel' | 'forget'>,
    private _path: string
  ) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** A job has come to its end, good or bad; `isNews` is false where it had before this page knew of it. */
  get ended(): ISignal<this, { job: IShipJob; isNews: boolean }> {
    return this._ended;
  }

  get job(): IShipJob | null {
    return this._job;
  }

  /** Why the last wish was not granted; what went wrong in a step is with the step. */
  get error(): AidpError | null {
    return this._error;
  }

  /** Whether the job is under way, or about to be. */
  get isRunning(): boolean {
    return this._isStreaming || this._job?.state === 'running';
  }

  /** Whether it is under way and nobody tells us how it goes. */
  get isUnheard(): boolean {
    return !this._isStreaming && this._job?.state === 'running';
  }

  /** Whether all is pushed and the forge is at work. */
  get isFollowingChecks(): boolean {
    return !!this._job?.steps.some(
      ({ name, state }) => name === 'checks' && state === 'running'
    );
  }

  get isCancelling(): boolean {
    return this._isCancelling;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Ask how it stands. */
  async load(): Promise<void> {
    if (this._isStreaming) {
      return;
    }
    try {
      const job = await this._api.job(this._path);
      if (!this._isStreaming) {
        this._take(job);
      }
    } catch (reason) {
      // While a job is shown its display stays; it is asked for again.
      if (!this._job && !this._isStreaming) {
        this._fail(reason);
      }
    }
  }

  start(question: IShipQuestion): Promise<void> {
    return this._follow(signal => this._api.ship(question, signal));
  }

  /** Go on where it stopped. */
  resume(): Promise<void> {
    return this._follow(signal => this._api.resume(this._path, signal));
  }

  /** Stop it. What it did stays: a commit is not taken back. */
  async cancel(): Promise<void> {
    if (this._isCancelling) {
      return;
    }
    this._isCancelling = true;
    this._error = null;
    this._changed.emit();
    try {
      const job = await this._api.cancel(this._path);
      this._abort?.abort();
      this._abort = null;
      this._isStreaming = false;
      this._take(job);
    } catch (reason) {
      this._error = asAidpError(reason);
    }
    this._isCancelling = false;
    this._changed.emit();
  }

  /** Forget a job that is over. */
  async forget(): Promise<void> {
    this._error = null;
    try {
      await this._api.forget(this._path);
      this._job = null;
    } catch (reason) {
      this._error = asAidpError(reason);
    }
    this._changed.emit();
  }

  dispose(): void {
    this._isDisposed = true;
    this._abort?.abort();
    Signal.clearData(this);
  }

  /** Take in what a stream tells. */
  private async _follow(
    open: (signal: AbortSignal) => AsyncIterable<IShipEvent>
  ): Promise<void> {
    if (this._isStreaming) {
      return;
    }
    const abort = (this._abort = new AbortController());
    this._isKnown = true;
    this._isStreaming = true;
    this._error = null;
    this._changed.emit();
    let failure: unknown = null;
    try {
      for await (const { job } of open(abort.signal)) {
        this._job = job;
        this._changed.emit();
      }
    } catch (reason) {
      failure = reason;
    }
    if (abort.signal.aborted) {
      return;
    }
    this._abort = null;
    this._isStreaming = false;
    if (failure) {
      await this._missed(failure);
    } else {
      this._take(this._job);
    }
  }

  /** The stream broke off: the job may go on all the same, or may have failed, or was not begun. */
  private async _missed(reason: unknown): Promise<void> {
    const before = this._job;
    let job = before;
    try {
      job = await this._api.job(this._path);
    } catch {
      // The first reason says more.
    }
    const isTold = job?.steps.some(({ state }) => state === 'failed');
    if (!isTold && job?.state !== 'running') {
      this._error = asAidpError(reason);
    }
    this._take(job);
  }

  private _fail(reason: unknown): void {
    this._error = asAidpError(reason);
    this._changed.emit();
  }

  private _take(job: IShipJob | null): void {
    const before = this._told;
    const isNews = this._isKnown;
    this._isKnown = true;
    this._job = job;
    this._told = job && `${job.id} ${job.state} ${job.updated_at}`;
    this._changed.emit();
    if (job && job.state !== 'running' && this._told !== before) {
      this._ended.emit({ job, isNews });
    }
  }

  private _abort: AbortController | null = null;
  private _changed = new Signal<this, void>(this);
  private _ended = new Signal<this, { job: IShipJob; isNews: boolean }>(this);
  private _error: AidpError | null = null;
  private _isCancelling = false;
  private _isDisposed = false;
  /** Whether the server has told how it stands, or was told to begin: what ends from then on is news. */
  private _isKnown = false;
  private _isStreaming = false;
  private _job: IShipJob | null = null;
  private _told: string | null = null;
}
