import type { Widget } from '@lumino/widgets';
import type * as React from 'react';

import type { GitModel } from './model';

/** What commands and panels work with, once one of them has begun. */
export interface IDesk {
  readonly model: GitModel;
  /** Whether jupyterlab-git is there. */
  readonly hasGit: boolean;
  /** Whether the repository can be opened in the browser. */
  readonly isOnForge: boolean;
  /** What a panel shows; `prefix` makes its ids unique in the page. */
  content(prefix: string): React.FC;
  /** A panel is seen, or not any more. */
  see(panel: Widget, isSeen: boolean): void;
  /** Take the keyboard from a panel as such to what one does first in it. */
  focus(panel: HTMLElement): void;
  /** Show the panel with the keyboard where the changes are shipped; it takes one more press to do so. */
  ship(): Promise<void>;
  check(): Promise<void>;
  suggest(): Promise<void>;
  pull(): Promise<void>;
  undo(): Promise<void>;
  branch(): Promise<void>;
  abort(): Promise<void>;
  unlock(): Promise<void>;
  refresh(): Promise<void>;
  openDialog(name: 'import' | 'accounts'): Promise<void>;
  openGit(): Promise<void>;
  openForge(): Promise<void>;
}
