import { URLExt } from '@jupyterlab/coreutils';
import type { ServerConnection } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type {
  IPoints,
  IRow,
  IRunsNews,
  ITracking,
  IWatch,
  LiveEvent
} from './wire';

/** How long until it is tried again: at first, and at most. */
const SOON_MS = 1_000;
const LATE_MS = 30_000;
/** What is watched changes in quick succession when a page is built up. */
const GATHER_MS = 50;

/** What one part of the page wants to hear of; other parts' wishes are joined with it. */
export type IWish = Partial<IWatch>;

/**
 * What happens to runs, as it happens: one websocket for the whole page, open only while some part of it wishes to
 * hear of something. Where it breaks off it is opened again, and `resync` says that something may have been missed.
 */
export class ExperimentsLive implements IDisposable {
  constructor(private _settings: ServerConnection.ISettings) {}

  /** Runs that changed, or are new or gone. */
  get runs(): ISignal<this, IRunsNews> {
    return this._runs;
  }

  /** New points of a watched run's metric. */
  get points(): ISignal<this, IPoints> {
    return this._points;
  }

  /** A run is over, or has diverged. */
  get ended(): ISignal<this, IRow> {
    return this._ended;
  }

  get tracking(): ISignal<this, ITracking> {
    return this._tracking;
  }

  /** What is known may be old: ask anew. */
  get resync(): ISignal<this, void> {
    return this._resync;
  }

  /** It is connected, or not any more. */
  get connected(): ISignal<this, boolean> {
    return this._connected;
  }

  get isConnected(): boolean {
    return this._isOpen;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Hear of something, in place of what `who` wished for before; null of nothing any more. */
  watch(who: unknown, wish: IWish | null): void {
    if (wish) {
      this._wishes.set(who, wish);
    } else {
      this._wishes.delete(who);
    }
    this._timer ??= setTimeout(() => {
      this._timer = null;
      this._apply();
    }, GATHER_MS);
  }

  dispose(): void {
    this._isDisposed = true;
    clearTimeout(this._timer ?? undefined);
    this._wishes.clear();
    this._close();
    Signal.clearData(this);
  }

  /** All wishes as one. */
  private get _watch(): IWatch {
    const wishes = [...this._wishes.values()];
    const all = (name: keyof IWatch) => [
      ...new Set(wishes.flatMap(wish => wish[name] ?? []))
    ];
    return {
      experiments: all('experiments'),
      runs: all('runs'),
      columns: all('columns'),
      cells: all('cells')
    };
  }

  private _apply(): void {
    if (this._isDisposed) {
      return;
    }
    if (this._wishes.size === 0) {
      this._close();
      this._failures = 0;
      return;
    }
    if (!this._socket) {
      if (!this._retry) {
        this._open();
      }
      return;
    }
    if (this._isOpen) {
      this._send();
    }
  }

  private _send(): void {
    const said = JSON.stringify({ watch: this._watch });
    if (said !== this._said) {
      this._said = said;
      this._socket?.send(said);
    }
  }

  private _open(): void {
    const { appendToken, token, wsUrl, WebSocket } = this._settings;
    const address = URLExt.join(wsUrl, 'aidp/experiments/live');
    const query =
      appendToken && token ? `?token=${encodeURIComponent(token)}` : '';
    const socket = (this._socket = new WebSocket(address + query));
    const isMine = () => this._socket === socket;
    socket.onopen = () => {
      if (isMine()) {
        this._isOpen = true;
        this._failures = 0;
        this._send();
        this._connected.emit(true);
        if (this._hasBroken) {
          this._hasBroken = false;
          this._resync.emit();
        }
      }
    };
    socket.onmessage = ({ data }: MessageEvent<string>) => {
      if (isMine()) {
        this._hear(JSON.parse(data) as LiveEvent);
      }
    };
    socket.onclose = () => {
      if (isMine()) {
        this._broke();
      }
    };
  }

  private _hear(event: LiveEvent): void {
    switch (event.kind) {
      case 'runs':
        this._runs.emit(event);
        break;
      case 'points':
        this._points.emit(event);
        break;
      case 'ended':
        this._ended.emit(event.row);
        break;
      case 'tracking':
        this._tracking.emit(event.state);
        break;
      case 'resync':
        this._resync.emit();
        break;
    }
  }

  private _broke(): void {
    const wasOpen = this._isOpen;
    this._forget();
    this._hasBroken = true;
    const wait = Math.min(LATE_MS, SOON_MS * 2 ** this._failures++);
    this._retry = setTimeout(
      () => {
        this._retry = null;
        if (this._wishes.size > 0) {
          this._open();
        }
      },
      // Not all pages at once, after a restart of the server.
      wait * (0.75 + Math.random() / 2)
    );
    if (wasOpen) {
      this._connected.emit(false);
    }
  }

  private _close(): void {
    clearTimeout(this._retry ?? undefined);
    this._retry = null;
    const socket = this._socket;
    const wasOpen = this._isOpen;
    this._forget();
    // What happens from now on is not heard of.
    this._hasBroken ||= socket !== null;
    socket?.close();
    if (wasOpen && !this._isDisposed) {
      this._connected.emit(false);
    }
  }

  private _forget(): void {
    this._socket = null;
    this._isOpen = false;
    this._said = '';
  }

  private _connected = new Signal<this, boolean>(this);
  private _ended = new Signal<this, IRow>(this);
  private _failures = 0;
  private _hasBroken = false;
  private _isDisposed = false;
  private _isOpen = false;
  private _points = new Signal<this, IPoints>(this);
  private _resync = new Signal<this, void>(this);
  private _retry: ReturnType<typeof setTimeout> | null = null;
  private _runs = new Signal<this, IRunsNews>(this);
  private _said = '';
  private _socket: WebSocket | null = null;
  private _timer: ReturnType<typeof setTimeout> | null = null;
  private _tracking = new Signal<this, ITracking>(this);
  private _wishes = new Map<unknown, IWish>();
}
