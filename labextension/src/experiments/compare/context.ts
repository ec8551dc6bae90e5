import * as React from 'react';

import { useSignals } from '../../shared/hooks';
import type { IExperimentServices } from '../run/services';
import type { IComparison, IRow } from '../wire';
import { visible } from '../wording';
import type { CompareModel } from './model';

/** What every part of a comparison works with. */
export interface ICompareContext extends IExperimentServices {
  readonly model: CompareModel;
  /** Unique in the page. */
  readonly prefix: string;
}

const CompareContext = React.createContext<ICompareContext | null>(null);

export const CompareProvider = CompareContext.Provider;

export function useCompareContext(): ICompareContext {
  const context = React.useContext(CompareContext)!;
  useSignals(context.model.changed);
  return context;
}

/** The comparison; only below where there is one. */
export function useComparison(): IComparison {
  return useCompareContext().model.comparison.value!;
}

/** What a run is called here: by its name, or by its id where it has none. */
export function nameOf({ id, name }: Pick<IRow, 'id' | 'name'>): string {
  return visible(name) || id.slice(0, 12);
}
