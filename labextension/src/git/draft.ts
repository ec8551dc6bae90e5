import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from '../shared/request';
import { asAidpError } from '../shared/request';
import type { GitApi } from './api';
import { titleAndBody } from './wording';

export type Writing = 'commit' | 'pull-request';

/** What the user decides of a commit and its pull request. Null is "as suggested". */
export interface IWish {
  readonly title: string | null;
  readonly body: string | null;
  readonly base: string | null;
  readonly branch: string | null;
  readonly isWanted: boolean | null;
  readonly isDraft: boolean | null;
  readonly reviewers: readonly string[];
  readonly labels: readonly string[];
  /** Whether the runs of experiments stay out of the commit. */
  readonly isWithoutRuns: boolean;
}

/** Keeps a text over a reload of the page. */
export interface IKept {
  get(): string;
  set(text: string): void;
}

const NO_WISH: IWish = {
  title: null,
  body: null,
  base: null,
  branch: null,
  isWanted: null,
  isDraft: null,
  reviewers: [],
  labels: [],
  isWithoutRuns: false
};

/** The words to ship with: the user's own, or those that a model wrote into the same fields. */
export class Draft implements IDisposable {
  constructor(
    private _api: Pick<GitApi, 'message'>,
    private _path: string,
    private _kept: IKept = { get: () => '', set: () => {} }
  ) {
    this._message = _kept.get();
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Of the commit. */
  get message(): string {
    return this._message;
  }

  set message(message: string) {
    // Who writes has decided: no model writes over it, and there is nothing to take back any more.
    if (this.writing === 'commit') {
      this.stop();
    }
    this._before = null;
    this._setMessage(message);
    this._changed.emit();
  }

  get wish(): IWish {
    return this._wish;
  }

  /** What a model is writing now. */
  get writing(): Writing | null {
    return this._abort && this._what;
  }

  /** What a model wrote last, and can be taken back. */
  get undoable(): Writing | null {
    return this._before && !this._abort ? this._what : null;
  }

  /** Which model wrote it, and where that is. */
  get by(): string {
    return this._by;
  }

  /** Why nothing was written, and what was to be. */
  get error(): AidpError | null {
    return this._error;
  }

  get failed(): Writing | null {
    return this._error && this._what;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  change(wish: Partial<IWish>): void {
    if (
      this.writing === 'pull-request' &&
      ('title' in wish || 'body' in wish)
    ) {
      this.stop();
    }
    this._before = null;
    this._wish = { ...this._wish, ...wish };
    this._changed.emit();
  }

  /** Have a model write; what comes appears in the field, and may be stopped. Never rejects. */
  async suggest(what: Writing, base?: string): Promise<void> {
    this._abort?.abort();
    const abort = (this._abort = new AbortController());
    const before = { message: this._message, wish: this._wish };
    const write = (text: string) => {
      this._before = before;
      this._write(what, text);
    };
    this._what = what;
    this._before = null;
    this._error = null;
    this._by = '';
    this._changed.emit();
    let text = '';
    try {
      const question = { path: this._path, what, ...(base && { base }) };
      for await (const event of this._api.message(question, abort.signal)) {
        if (abort.signal.aborted) {
          return;
        }
        if (event.kind === 'text') {
          text += event.text;
          write(text);
        } else {
          text = event.text ?? text;
          this._by = [event.route, event.locality].filter(Boolean).join(' · ');
        }
        this._changed.emit();
      }
      if (text) {
        write(text.trim());
      }
    } catch (reason) {
      if (!abort.signal.aborted) {
        this._error = asAidpError(reason);
      }
    }
    if (this._abort === abort) {
      this._abort = null;
      this._changed.emit();
    }
  }

  /** What has come stays. */
  stop(): void {
    if (this._abort) {
      this._abort.abort();
      this._abort = null;
      this._changed.emit();
    }
  }

  /** Take back what a model wrote. */
  undo(): void {
    if (this._before) {
      this._setMessage(this._before.message);
      this._wish = this._before.wish;
      this._before = null;
      this._by = '';
      this._changed.emit();
    }
  }

  /** It is shipped: begin anew, unless the user has begun already. */
  clear(shipped: string): void {
    this.stop();
    this._wish = NO_WISH;
    this.committed(shipped);
  }

  /** The message is in a commit. */
  committed(message: string): void {
    if (this._message.trim() === message.trim()) {
      this._setMessage('');
    }
    this._before = null;
    this._by = '';
    this._changed.emit();
  }

  dispose(): void {
    this._isDisposed = true;
    this._abort?.abort();
    Signal.clearData(this);
  }

  private _write(what: Writing, text: string): void {
    if (what === 'commit') {
      this._setMessage(text);
    } else {
      this._wish = { ...this._wish, ...titleAndBody(text) };
    }
  }

  private _setMessage(message: string): void {
    this._message = message;
    this._kept.set(message);
  }

  private _abort: AbortController | null = null;
  private _before: {
    readonly message: string;
    readonly wish: IWish;
  } | null = null;
  private _by = '';
  private _changed = new Signal<this, void>(this);
  private _error: AidpError | null = null;
  private _isDisposed = false;
  private _message: string;
  private _what: Writing | null = null;
  private _wish: IWish = NO_WISH;
}
