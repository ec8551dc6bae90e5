import type { IDisposable } from '@lumino/disposable';

import type { AiApi } from './api';
import type { IFeedback } from './wire';

/** How long to gather after the last suggestion that was settled. */
const QUIET_MS = 5_000;

/** Tells the server, in batches, which model's suggestions are accepted: it learns which one helps here. */
export class Feedback implements IDisposable {
  constructor(private _api: Pick<AiApi, 'feedback'>) {}

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  add(route: string, task: string, outcome: 'accepted' | 'rejected'): void {
    if (!route || this._isDisposed) {
      return;
    }
    const key = `${task} ${route}`;
    const before = this._reports.get(key) ?? NOTHING;
    this._reports.set(key, {
      ...{ ...before, route, task },
      [outcome]: before[outcome] + 1
    });
    clearTimeout(this._timer);
    this._timer = setTimeout(() => void this.send(), QUIET_MS);
  }

  /** Send what was gathered now. What cannot be delivered is dropped: it is a statistic, and nobody waits for it. */
  async send(): Promise<void> {
    clearTimeout(this._timer);
    const reports = [...this._reports.values()];
    this._reports.clear();
    await Promise.allSettled(reports.map(report => this._api.feedback(report)));
  }

  dispose(): void {
    this._isDisposed = true;
    clearTimeout(this._timer);
    this._reports.clear();
  }

  private _isDisposed = false;
  private _reports = new Map<string, IFeedback>();
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

const NOTHING: IFeedback = { route: '', task: '', accepted: 0, rejected: 0 };
