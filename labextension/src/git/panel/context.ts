import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import type { Clock } from '../../shared/clock';
import type { Format } from '../../shared/format';
import { useSignals } from '../../shared/hooks';
import type { GitModel } from '../model';
import type { IPlace } from '../places';
import type { Repository } from '../repository';
import type { IChange } from '../wire';

/** What every part of the panel and of its dialogs works with. */
export interface IGitContext {
  readonly clock: Clock;
  readonly commands: CommandRegistry;
  readonly format: Format;
  readonly model: GitModel;
  readonly trans: TranslationBundle;
  /** Whether jupyterlab-git is there. */
  readonly hasGit: () => boolean;
  /** Show a place in a file of a repository. */
  readonly openPlace: (repository: Repository, place: IPlace) => void;
  /** Show how a file differs, or else the file. */
  readonly openChange: (repository: Repository, change: IChange) => void;
  /** Take the keyboard back to the user's work. */
  readonly leave: () => void;
  /** Open the panel's menu below a button. */
  readonly openMenu: (anchor: HTMLElement) => void;
}

/** What is of one panel: ids are unique in the page, and there may be two. */
export interface IPanelContext extends IGitContext {
  readonly prefix: string;
}

const GitContext = React.createContext<IPanelContext | null>(null);

export const GitProvider = GitContext.Provider;

/** The panel that a component is part of. */
export function useGit(): IPanelContext {
  return React.useContext(GitContext)!;
}

const RepositoryContext = React.createContext<Repository | null>(null);

export const RepositoryProvider = RepositoryContext.Provider;

/** The repository that is shown. Renders again when something of it changes. */
export function useRepository(): Repository {
  const repository = React.useContext(RepositoryContext)!;
  useSignals(repository.changed);
  return repository;
}
