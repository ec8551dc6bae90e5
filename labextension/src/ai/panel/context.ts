import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import type { Clock } from '../../shared/clock';
import type { Format } from '../../shared/format';
import type { AiApi } from '../api';
import type { IExcerpt } from '../excerpt';
import type { IAiModel } from '../tokens';
import type { PanelData } from './data';

/** What every part of the panel works with. */
export interface IPanelContext {
  readonly api: AiApi;
  readonly clock: Clock;
  readonly commands: CommandRegistry;
  readonly data: PanelData;
  readonly format: Format;
  readonly model: IAiModel;
  readonly trans: TranslationBundle;
  /** Ask before something is destroyed; `action` names the button that does it. */
  readonly confirm: (title: string, action: string) => Promise<boolean>;
  /** The text that the user works on. */
  readonly excerpt: () => IExcerpt | null;
  /** Take the keyboard back to the user's work. */
  readonly leave: () => void;
  /** Open the panel's menu below a button. */
  readonly openMenu: (anchor: HTMLElement) => void;
}

const PanelContext = React.createContext<IPanelContext | null>(null);

export const PanelProvider = PanelContext.Provider;

/** The panel that a component is part of. */
export function usePanel(): IPanelContext {
  return React.useContext(PanelContext)!;
}
