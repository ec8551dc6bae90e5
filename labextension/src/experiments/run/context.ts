import * as React from 'react';

import { useSignals } from '../../shared/hooks';
import type { Clock } from '../../shared/clock';
import type { IRunDetail } from '../wire';
import type { RunModel } from './model';
import type { IExperimentServices } from './services';

/** What every part of a run's tab works with. */
export interface IRunContext extends IExperimentServices {
  readonly model: RunModel;
  readonly clock: Clock;
  /** Unique in the page. */
  readonly prefix: string;
}

const RunContext = React.createContext<IRunContext | null>(null);

export const RunProvider = RunContext.Provider;

/** The tab that a component is part of. */
export function useRunContext(): IRunContext {
  return React.useContext(RunContext)!;
}

/** The run that is shown; renders again when it changes. Only below where there is one. */
export function useRun(): IRunDetail {
  const { model } = useRunContext();
  useSignals(model.changed);
  return model.run!;
}
