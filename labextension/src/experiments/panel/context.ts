import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import type { Clock } from '../../shared/clock';
import type { Format } from '../../shared/format';
import { useSignals } from '../../shared/hooks';
import type { RunsView } from '../list/view';
import type { ExperimentsModel } from '../model';

/** What every part of a panel works with. */
export interface IExperimentsContext {
  readonly clock: Clock;
  readonly commands: CommandRegistry;
  readonly format: Format;
  readonly model: ExperimentsModel;
  readonly trans: TranslationBundle;
  /** Take the keyboard back to the user's work. */
  readonly leave: () => void;
  /** Open the panel's menu below a button. */
  readonly openMenu: (anchor: HTMLElement) => void;
  /** Open the menu of what is selected. */
  readonly openRunMenu: (anchor: HTMLElement) => void;
}

/** What is of one panel. */
export interface IPanelContext extends IExperimentsContext {
  readonly view: RunsView;
  /** Makes ids unique in the page: there may be two panels. */
  readonly prefix: string;
}

const Context = React.createContext<IPanelContext | null>(null);

export const PanelProvider = Context.Provider;

/** The panel that a component is part of. */
export function usePanel(): IPanelContext {
  return React.useContext(Context)!;
}

/** The same; renders again when something of its list changes. */
export function useView(): IPanelContext {
  const panel = usePanel();
  useSignals(panel.view.changed);
  return panel;
}
