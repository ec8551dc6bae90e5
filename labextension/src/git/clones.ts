import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from '../shared/request';
import { asAidpError } from '../shared/request';
import type { GitApi } from './api';
import type { ICloneQuestion } from './wire';

/** A repository on its way here, or what became of it. */
export interface IClone {
  readonly question: ICloneQuestion;
  /** What to call it. */
  readonly name: string;
  readonly state: 'running' | 'done' | 'failed';
  readonly phase: string;
  readonly percent: number | null;
  readonly text: string;
  /** Where it is, below the workspace, and what to open of it. */
  readonly path: string | null;
  readonly open: string | null;
  readonly notes: readonly string[];
  readonly error: AidpError | null;
}

/** Brings one repository at a time. It goes on while nobody looks. */
export class Clones implements IDisposable {
  constructor(private _api: Pick<GitApi, 'clone'>) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** A repository has arrived. */
  get arrived(): ISignal<this, IClone> {
    return this._arrived;
  }

  get current(): IClone | null {
    return this._current;
  }

  get isRunning(): boolean {
    return this._current?.state === 'running';
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Never rejects. */
  async start(question: ICloneQuestion): Promise<void> {
    if (this.isRunning) {
      return;
    }
    const abort = (this._abort = new AbortController());
    let clone: IClone = { question, name: nameOf(question), ...START };
    const tell = (news: Partial<IClone>) => {
      if (!abort.signal.aborted) {
        clone = { ...clone, ...news };
        this._current = clone;
        this._changed.emit();
      }
    };
    tell({});
    try {
      for await (const event of this._api.clone(question, abort.signal)) {
        if (event.kind === 'progress') {
          const { phase, percent, text } = event;
          tell({ phase, percent, text });
        } else {
          const { path, open, notes } = event;
          tell({ path, open, notes });
        }
      }
      tell({ state: 'done' });
      if (!abort.signal.aborted) {
        this._arrived.emit(clone);
      }
    } catch (reason) {
      tell({ state: 'failed', error: asAidpError(reason) });
    }
  }

  /** Cancel what is under way, of which nothing stays; or forget what is over. */
  stop(): void {
    this._abort.abort();
    if (this._current) {
      this._current = null;
      this._changed.emit();
    }
  }

  dispose(): void {
    this._isDisposed = true;
    this._abort.abort();
    Signal.clearData(this);
  }

  private _abort = new AbortController();
  private _arrived = new Signal<this, IClone>(this);
  private _changed = new Signal<this, void>(this);
  private _current: IClone | null = null;
  private _isDisposed = false;
}

const START: Omit<IClone, 'question' | 'name'> = {
  state: 'running',
  phase: '',
  percent: null,
  text: '',
  path: null,
  open: null,
  notes: [],
  error: null
};

/** The folder that a repository gets. */
export function nameOf({ url, name }: ICloneQuestion): string {
  const last = url
    .trim()
    .replace(/[/\s]+$/, '')
    .split(/[/:]/)
    .pop();
  return name || (last ?? '').replace(/\.git$/, '') || url;
}
