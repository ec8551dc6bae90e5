import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from '../shared/request';
import { asAidpError } from '../shared/request';
import type { GitApi } from './api';
import type { ICheckResult, IFinding } from './wire';

/** The checks of what would be committed: their results as they come. */
export class Preflight implements IDisposable {
  constructor(
    private _api: Pick<GitApi, 'preflight'>,
    private _path: string,
    /** What the index is like now, in short. */
    private _index: () => string
  ) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isRunning(): boolean {
    return this._abort !== null;
  }

  /** Those that have answered; of the run before, too, until they answer again. */
  get results(): readonly ICheckResult[] {
    return [...this._results.values()];
  }

  get findings(): readonly IFinding[] {
    return this.results.flatMap(({ findings }) => findings);
  }

  /** How many findings stop a commit. */
  get blocking(): number {
    return this.findings.filter(({ severity }) => severity === 'block').length;
  }

  /** Whether all checks have looked at what would be committed now. */
  get isCurrent(): boolean {
    return !this.isRunning && this._seen === this._index();
  }

  /** Whether all checks have looked once. */
  get isDone(): boolean {
    return this._seen !== null;
  }

  /** What the checks have seen; null where that is not what would be committed now. */
  get tree(): string | null {
    return this.isCurrent ? this._tree : null;
  }

  /** What the user has seen and may go on with. */
  get acknowledged(): readonly string[] {
    return this.isCurrent
      ? this.findings
          .filter(({ severity }) => severity === 'warn')
          .map(({ id }) => id)
      : [];
  }

  get error(): AidpError | null {
    return this._error;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Look. One that is under way is begun anew. Never rejects. */
  async run(): Promise<void> {
    this._abort?.abort();
    const abort = (this._abort = new AbortController());
    const index = this._index();
    const seen = new Set<string>();
    this._error = null;
    this._changed.emit();
    try {
      for await (const event of this._api.preflight(this._path, abort.signal)) {
        if (abort.signal.aborted) {
          return;
        }
        if (event.kind === 'check') {
          seen.add(event.check.name);
          this._results.set(event.check.name, event.check);
        } else {
          this._tree = event.tree;
          this._seen = index;
        }
        this._changed.emit();
      }
      this._keep(seen);
    } catch (reason) {
      if (!abort.signal.aborted) {
        this._error = asAidpError(reason);
      }
    }
    if (!abort.signal.aborted) {
      this._abort = null;
      this._changed.emit();
    }
  }

  stop(): void {
    if (this._abort) {
      this._abort.abort();
      this._abort = null;
      this._changed.emit();
    }
  }

  /** Forget what was found: it was committed. */
  clear(): void {
    this.stop();
    this._keep(new Set());
    this._seen = this._tree = this._error = null;
    this._changed.emit();
  }

  dispose(): void {
    this._isDisposed = true;
    this._abort?.abort();
    Signal.clearData(this);
  }

  /** What was not looked at this time is not shown. */
  private _keep(names: ReadonlySet<string>): void {
    for (const name of this._results.keys()) {
      if (!names.has(name)) {
        this._results.delete(name);
      }
    }
  }

  private _abort: AbortController | null = null;
  private _changed = new Signal<this, void>(this);
  private _error: AidpError | null = null;
  private _isDisposed = false;
  private _results = new Map<string, ICheckResult>();
  /** The index when the last whole run began. */
  private _seen: string | null = null;
  private _tree: string | null = null;
}
