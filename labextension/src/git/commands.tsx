import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import type { IGitExtension } from '@jupyterlab/git';
import type { Widget } from '@lumino/widgets';
import * as React from 'react';

import type { IDesk } from './desk';
import { openDialog } from './dialog/open';
import type { GitModel } from './model';
import { Content, focusFirst } from './panel/content';
import type { IGitContext } from './panel/context';
import { GitProvider } from './panel/context';
import { askName, confirm } from './questions';
import type { Repository } from './repository';
import { branchFor, forgeAddress } from './wording';

/** A command of jupyterlab-git. */
const GIT_PANEL = 'git:ui';
/** How long a command waits for the server to say which repository this is. */
const PATIENCE_MS = 10_000;

/** What else is in this Lab. */
export interface IOthers {
  /** Null where jupyterlab-git is not, and until it is known to be there. */
  git: IGitExtension | null;
}

export interface IDeskOptions {
  readonly app: JupyterFrontEnd;
  /** Show the panel, and return its node. */
  readonly reveal: () => HTMLElement;
}

/** What the commands do, once the first of them is given. */
export class Desk implements IDesk {
  constructor(
    private _options: IDeskOptions,
    private _context: IGitContext,
    private _others: IOthers
  ) {
    this.model = _context.model;
  }

  readonly model: GitModel;

  get hasGit(): boolean {
    return this._others.git !== null;
  }

  get isOnForge(): boolean {
    const { repository } = this.model;
    return repository !== null && forgeAddress(repository.state) !== null;
  }

  content(prefix: string): React.FC {
    const value = { ...this._context, prefix };
    return () => (
      <GitProvider value={value}>
        <Content />
      </GitProvider>
    );
  }

  see(panel: Widget, isSeen: boolean): void {
    if (isSeen) {
      this._seen.add(panel);
    } else {
      this._seen.delete(panel);
    }
    const isAny = this._seen.size > 0;
    this.model.isVisible = isAny;
    this._context.clock.isRunning = isAny;
  }

  focus(panel: HTMLElement): void {
    focusFirst(panel);
  }

  async ship(): Promise<void> {
    const node = this._options.reveal();
    if (await this._known()) {
      requestAnimationFrame(() =>
        node
          .querySelector<HTMLElement>(
            '.jp-AidpShip-button:enabled, .jp-AidpShip-job button, textarea.jp-AidpShip-message'
          )
          ?.focus()
      );
    }
  }

  async check(): Promise<void> {
    await (await this._here())?.preflight.run();
  }

  async suggest(): Promise<void> {
    await (await this._here())?.draft.suggest('commit');
  }

  async pull(): Promise<void> {
    await (await this._here())?.pull();
  }

  async undo(): Promise<void> {
    const { trans } = this._context;
    const repository = await this._here();
    const { can_undo, last } = repository?.state ?? {};
    if (!repository || !last) {
      return;
    }
    if (!can_undo) {
      Notification.info(
        trans.__('The last commit is on a remote already: it stays.')
      );
    } else if (
      await confirm(
        trans.__('Undo the commit “%1”?', last.subject),
        trans.__('Its changes stay in your files, chosen for the next commit.'),
        trans.__('Undo the commit'),
        trans
      )
    ) {
      await repository.undo();
    }
  }

  async branch(): Promise<void> {
    const { trans } = this._context;
    const repository = await this._here();
    if (repository) {
      const name = await askName(
        trans.__('New branch'),
        trans.__('Create'),
        branchFor(repository.draft.message),
        trans
      );
      if (name) {
        await repository.branch(name);
      }
    }
  }

  async abort(): Promise<void> {
    const { trans } = this._context;
    const repository = await this._here();
    const operation = repository?.state.operation;
    if (
      repository &&
      operation &&
      (await confirm(
        trans.__('Take back the %1?', operation),
        trans.__(
          'The files are as they were before it. What you did to settle its conflicts is lost.'
        ),
        trans.__('Take it back'),
        trans
      ))
    ) {
      await repository.abort();
    }
  }

  async unlock(): Promise<void> {
    const { trans } = this._context;
    const repository = await this._here();
    if (
      repository &&
      (await confirm(
        trans.__('Remove the lock of %1?', repository.state.name),
        trans.__(
          'Do so only when no other program is at work in this repository: index.lock is what keeps two from writing at once.'
        ),
        trans.__('Remove the lock'),
        trans
      ))
    ) {
      await repository.unlock();
    }
  }

  async refresh(): Promise<void> {
    this._options.reveal();
    await this.model.refresh();
  }

  async openDialog(name: 'import' | 'accounts'): Promise<void> {
    openDialog(name, this._context);
  }

  async openGit(): Promise<void> {
    const { commands } = this._options.app;
    const path = this.model.repository?.path;
    const { git } = this._others;
    if (git && path !== undefined) {
      await showIn(git, path, false);
    }
    if (commands.hasCommand(GIT_PANEL)) {
      await commands.execute(GIT_PANEL);
      // While it is hidden it looks at nothing; it shows what it knows, and looks anew meanwhile.
      void git?.refresh().catch(() => undefined);
    }
  }

  async openForge(): Promise<void> {
    const { repository } = this.model;
    const request = repository?.request.value?.pull_request;
    const address =
      request?.url ?? (repository && forgeAddress(repository.state));
    if (address) {
      window.open(address, '_blank', 'noopener,noreferrer');
    }
  }

  /** Show the panel and return its repository, once that is known. */
  private async _here(): Promise<Repository | null> {
    this._options.reveal();
    await this._known();
    return this.model.repository;
  }

  private _known(): Promise<boolean> {
    const { model } = this;
    return new Promise(resolve => {
      const done = (isKnown: boolean) => {
        clearTimeout(timer);
        model.changed.disconnect(look);
        resolve(isKnown);
      };
      const look = () => model.isKnown && done(true);
      const timer = setTimeout(() => done(false), PATIENCE_MS);
      model.changed.connect(look);
      look();
    });
  }

  private _seen = new Set<Widget>();
}

/** Have jupyterlab-git show a repository; what it does about a file it does in the one that it shows. */
export async function showIn(
  git: IGitExtension,
  path: string,
  isFresh: boolean
): Promise<void> {
  if (git.pathRepository?.replace(/^\/+|\/+$/g, '') !== path) {
    git.pathRepository = path;
    await git.ready;
  }
  if (isFresh) {
    // Unlike `refresh` it looks also while its panel is hidden.
    await git.refreshStatus();
  }
}
