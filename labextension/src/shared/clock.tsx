import type { IDisposable } from '@lumino/disposable';
import * as React from 'react';

import type { Format } from './format';

/** Ticks each second while it is watched and running. */
export class Clock implements IDisposable {
  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Runs only while someone can see it. */
  set isRunning(isRunning: boolean) {
    clearInterval(this._timer);
    if (isRunning) {
      this._tick();
      this._timer = setInterval(this._tick, 1000);
    }
  }

  readonly subscribe = (onTick: () => void): (() => void) => {
    this._watchers.add(onTick);
    return () => this._watchers.delete(onTick);
  };

  dispose(): void {
    this._isDisposed = true;
    this.isRunning = false;
    this._watchers.clear();
  }

  private _tick = () => {
    for (const watcher of this._watchers) {
      watcher();
    }
  };

  private _isDisposed = false;
  private _timer: ReturnType<typeof setInterval> | undefined;
  private _watchers = new Set<() => void>();
}

/** How long ago something was, kept up to date; the time itself is in the tooltip. */
export function Ago(props: {
  readonly time: string;
  readonly clock: Clock;
  readonly format: Format;
  /** As a part of a sentence: "2 min ago" in place of "2 min". */
  readonly inWords?: boolean;
}): React.ReactElement {
  const { time, clock, format, inWords } = props;
  // Painted anew only when the words change, not at each tick.
  const words = React.useSyncExternalStore(clock.subscribe, () =>
    inWords ? format.agoInWords(time) : format.ago(time)
  );
  return (
    <time dateTime={time} title={format.absolute(time)}>
      {words}
    </time>
  );
}
