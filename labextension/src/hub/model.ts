import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpServer, AidpError } from '../shared/request';
import { asAidpError } from '../shared/request';
import type { IGpus } from './wire';

/** Between looks, in milliseconds: while something is about to happen, with a GPU, and without: most have none. */
const SOON_MS = 15_000;
const HELD_MS = 60_000;
const NONE_MS = 300_000;

/** The hub's GPUs, as this server sees them. Looking keeps its place in line. */
export class GpuModel {
  constructor(private _server: AidpServer) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** What there is; null while nobody has said. */
  gpus: IGpus | null = null;
  /** Why the last wish was not granted. */
  error: AidpError | null = null;
  isBusy = false;

  /** Look now. A hub that is away changes nothing: it was there, and will be. */
  async look(): Promise<void> {
    try {
      this._take(await this._server.json<IGpus>('hub/gpus'));
    } catch {
      // the next look will tell
    }
  }

  /** Look again and again, until there are no GPUs. */
  async watch(): Promise<void> {
    await this.look();
    this._watchOn();
  }

  extend(): Promise<void> {
    return this._ask('hub/gpus/extend', 'POST', {});
  }

  wait(): Promise<void> {
    return this._ask('hub/gpus/wait', 'POST', {});
  }

  leave(): Promise<void> {
    return this._ask('hub/gpus/wait', 'DELETE');
  }

  dispose(): void {
    this._isOver = true;
    clearTimeout(this._timer);
    Signal.clearData(this);
  }

  private _watchOn(): void {
    clearTimeout(this._timer);
    if (this.gpus?.is_on !== false && !this._isOver) {
      this._timer = setTimeout(() => void this.watch(), this._pause());
    }
  }

  private _pause(): number {
    const { lease, place } = this.gpus ?? {};
    const isSoon = !!place || lease?.is_held === false || !!lease?.ends_ms;
    return isSoon ? SOON_MS : lease ? HELD_MS : NONE_MS;
  }

  private async _ask(
    path: string,
    method: string,
    body?: object
  ): Promise<void> {
    this.isBusy = true;
    this.error = null;
    this._changed.emit();
    try {
      this.gpus = await this._server.json<IGpus>(path, {
        method,
        ...(body && { body: JSON.stringify(body) })
      });
    } catch (reason) {
      this.error = asAidpError(reason);
      await this.look();
    } finally {
      this.isBusy = false;
      this._changed.emit();
      if (this._timer !== undefined) {
        this._watchOn(); // whoever waits now has to look more often
      }
    }
  }

  private _take(gpus: IGpus): void {
    this.gpus = gpus;
    this._changed.emit();
  }

  private _changed = new Signal<this, void>(this);
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _isOver = false;
}
