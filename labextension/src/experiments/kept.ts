import type { IStateDB } from '@jupyterlab/statedb';
import type { ReadonlyPartialJSONValue } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import { Debouncer } from '@lumino/polling';

import type { IColumn, ISort } from './list/columns';

const KEY = 'aidp-ext:experiments';
const REST_MS = 300;
/** Of how many experiments it is kept; those that were changed last. */
const MOST = 200;

/** How a list of an experiment was left. */
export interface IKeptView {
  /** Null where they were never chosen. */
  readonly columns: readonly IColumn[] | null;
  readonly sort: ISort | null;
  readonly nameWidth: number | null;
}

interface IKeptState {
  readonly chosen: Readonly<Record<string, string>>;
  readonly views: Readonly<Record<string, IKeptView>>;
  readonly hidden: Readonly<Record<string, readonly string[]>>;
}

const NOTHING: IKeptState = { chosen: {}, views: {}, hidden: {} };

/** What is kept of the lists when the page is reloaded. */
export class Kept implements IDisposable {
  constructor(private _db: IStateDB | null) {}

  get isDisposed(): boolean {
    return this._write.isDisposed;
  }

  /** Read what was kept; without it, all is as at first. */
  async load(): Promise<void> {
    const found = await this._db?.fetch(KEY).catch(() => undefined);
    if (found && typeof found === 'object' && !Array.isArray(found)) {
      this._state = { ...NOTHING, ...(found as Partial<IKeptState>) };
    }
  }

  /** The experiment that a panel showed last. */
  chosen(place: string): string | null {
    return this._state.chosen[place] ?? null;
  }

  choose(place: string, experiment: string): void {
    const chosen = { ...this._state.chosen, [place]: experiment };
    this._set({ ...this._state, chosen });
  }

  view(place: string, experiment: string): IKeptView | null {
    return this._state.views[`${place}:${experiment}`] ?? null;
  }

  setView(place: string, experiment: string, view: IKeptView): void {
    const views = last(this._state.views, `${place}:${experiment}`, view);
    this._set({ ...this._state, views });
  }

  hidden(experiment: string): readonly string[] {
    return this._state.hidden[experiment] ?? [];
  }

  setHidden(experiment: string, runs: readonly string[]): void {
    const hidden = last(this._state.hidden, experiment, runs);
    this._set({ ...this._state, hidden });
  }

  dispose(): void {
    this._write.dispose();
  }

  private _set(state: IKeptState): void {
    this._state = state;
    void this._write.invoke().catch(() => undefined);
  }

  private _state = NOTHING;
  private _write = new Debouncer(
    () =>
      this._db?.save(KEY, this._state as unknown as ReadonlyPartialJSONValue),
    REST_MS
  );
}

/** A record with an entry at its end, without the oldest ones. */
function last<T>(
  before: Readonly<Record<string, T>>,
  key: string,
  value: T
): Readonly<Record<string, T>> {
  const rest = Object.entries(before).filter(([name]) => name !== key);
  return Object.fromEntries([...rest.slice(1 - MOST), [key, value]]);
}
