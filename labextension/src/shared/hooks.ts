import type { ISignal } from '@lumino/signaling';
import * as React from 'react';

import type { AidpError } from './request';
import { asAidpError } from './request';

/** Render again at each of these signals. */
export function useSignals(
  ...signals: readonly ISignal<unknown, unknown>[]
): void {
  const [, again] = React.useReducer((count: number) => count + 1, 0);
  React.useEffect(() => {
    for (const signal of signals) {
      signal.connect(again);
    }
    return () => {
      for (const signal of signals) {
        signal.disconnect(again);
      }
    };
  }, signals);
}

/** Something that takes a while, after a press of a button. */
export interface IAction {
  readonly isBusy: boolean;
  readonly error: AidpError | null;
  /** Begin; an earlier error goes away. Does nothing while it is under way. */
  readonly start: (work: (signal: AbortSignal) => Promise<void>) => void;
  /** Stop it, and forget the error. */
  readonly reset: () => void;
}

/** What a button began: at most one at a time, ended with the component. */
export function useAction(): IAction {
  const [isBusy, setBusy] = React.useState(false);
  const [error, setError] = React.useState<AidpError | null>(null);
  const abort = React.useRef<AbortController | null>(null);
  React.useEffect(() => () => abort.current?.abort(), []);
  const run = async (work: (signal: AbortSignal) => Promise<void>) => {
    const mine = (abort.current = new AbortController());
    setBusy(true);
    setError(null);
    let failure: AidpError | null = null;
    try {
      await work(mine.signal);
    } catch (reason) {
      failure = asAidpError(reason);
    }
    if (!mine.signal.aborted) {
      abort.current = null;
      setBusy(false);
      setError(failure);
    }
  };
  return {
    isBusy,
    error,
    start: work => {
      if (!abort.current) {
        void run(work);
      }
    },
    reset: () => {
      abort.current?.abort();
      abort.current = null;
      setBusy(false);
      setError(null);
    }
  };
}
