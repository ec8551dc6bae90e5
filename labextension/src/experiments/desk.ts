import type { Widget } from '@lumino/widgets';
import type * as React from 'react';

import type { ExperimentsModel } from './model';
import type { IExperimentsArgs } from './tokens';

/** What commands and panels work with, once one of them has begun. */
export interface IDesk {
  readonly model: ExperimentsModel;
  /** What a panel shows. */
  content(panel: Widget, place: 'side' | 'tab'): React.FC;
  /** A panel is seen, or not any more. */
  see(panel: Widget, isSeen: boolean): void;
  /** A panel is gone for good. */
  leave(panel: Widget): void;
  /** Take the keyboard from a panel as such to what one does first in it. */
  focus(panel: HTMLElement): void;
  /** Do what a command is for. */
  run(command: string, args: IExperimentsArgs): Promise<void>;
  /** Whether a command can be done now. */
  can(command: string): boolean;
}
