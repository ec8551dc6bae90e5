// With what is loaded on demand: a page that opens no Git panel need not load its looks.
import '../../style/git.css';

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { IGitExtension } from '@jupyterlab/git';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { ITranslator } from '@jupyterlab/translation';
import { nullTranslator } from '@jupyterlab/translation';
import { MenuSvg } from '@jupyterlab/ui-components';
import { Debouncer } from '@lumino/polling';
import type { Widget } from '@lumino/widgets';

import { DOMAIN, createFormat } from '../ai/services';
import { optionalService } from '../chat/optional';
import { Clock } from '../shared/clock';
import { AidpServer, asAidpError } from '../shared/request';
import { GitApi } from './api';
import type { IClone } from './clones';
import type { IDesk } from './desk';
import type { IDeskOptions, IOthers } from './commands';
import { Desk, showIn } from './commands';
import type { IKept } from './draft';
import { followUser } from './follow';
import { GitModel } from './model';
import type { IGitContext } from './panel/context';
import { openPlace } from './places';
import type { Repository } from './repository';
import { CommandIDs } from './tokens';
import type { IChange } from './wire';
import { visible } from './wording';

/** Commands of Lab and of jupyterlab-git. */
const GO_TO = 'filebrowser:go-to-path';
const GIT_DIFF = 'git:context-diff';
/** Its widgets' ids begin so. */
const DIFF_ID = 'git-diff-';
/** What is done in quick succession is one reason for jupyterlab-git to look, which is costly. */
const GATHER_MS = 1_000;
/** What it tells of one thing comes in several signals. */
const NEWS_MS = 100;
const PREVIEW = 'Markdown Preview';

const MENU = [
  [CommandIDs.pull, CommandIDs.undo, CommandIDs.branch],
  [CommandIDs.abort, CommandIDs.unlock],
  [CommandIDs.import, CommandIDs.accounts],
  [CommandIDs.openGit, CommandIDs.openForge, CommandIDs.openTab]
];

export interface IConnectOptions extends IDeskOptions {
  readonly documents: IDocumentManager | null;
  readonly settings: ISettingRegistry | null;
  readonly translator: ITranslator | null;
  readonly isOurs: (widget: Widget) => boolean;
}

/** Connect the Ship panel with this Lab: with where the user is, with what is saved, with jupyterlab-git. */
export function connect(options: IConnectOptions): IDesk {
  const { app, documents, isOurs, settings, translator } = options;
  const { contents, serverSettings } = app.serviceManager;
  const trans = (translator ?? nullTranslator).load(DOMAIN);
  const model = new GitModel({
    api: new GitApi(new AidpServer(serverSettings, trans)),
    kept
  });
  const others: IOthers = { git: null };
  void followSettings(settings, model);
  void followGit(app, model, others);
  followUser(
    app,
    // What jupyterlab-git shows of a file is opened from here: the user stays where they were.
    widget => isOurs(widget) || widget.id.startsWith(DIFF_ID),
    (location, folder) => model.follow(location, folder)
  );
  contents.fileChanged.connect((_, { newValue, oldValue }) => {
    const path = newValue?.path ?? oldValue?.path;
    if (path !== undefined) {
      model.saved(contents.localPath(path));
    }
  });
  window.addEventListener('focus', () => model.glanced());

  const clock = new Clock();
  const context: IGitContext = {
    clock,
    commands: app.commands,
    format: createFormat(translator),
    model,
    trans,
    hasGit: () => others.git !== null,
    openPlace: ({ path }, place) => {
      if (documents) {
        const whole = PathExt.join(path, place.path);
        void openPlace(documents, { ...place, path: whole });
      }
    },
    openChange: (repository, change) => {
      openChange(app, documents, others.git, repository, change).catch(
        reason => {
          Notification.error(
            `${visible(change.path)}: ${asAidpError(reason).message}`
          );
        }
      );
    },
    leave: () => {
      const { currentWidget } = app.shell;
      if (currentWidget) {
        app.shell.activateById(currentWidget.id);
      }
    },
    openMenu: menuOpener(app)
  };
  followClones(app, documents, model, others);
  return new Desk(options, context, others);
}

/** A message survives a reload of the page, and goes with the tab. */
function kept(path: string): IKept {
  const key = `aidp-ext:git-message:${path}`;
  return {
    get: () => sessionStorage.getItem(key) ?? '',
    set: text => {
      if (text) {
        sessionStorage.setItem(key, text);
      } else {
        sessionStorage.removeItem(key);
      }
    }
  };
}

async function followSettings(
  settings: ISettingRegistry | null,
  model: GitModel
): Promise<void> {
  const loaded = await settings?.load('aidp-ext:git').catch(() => null);
  if (!loaded) {
    // The defaults do.
    return;
  }
  const { options } = model;
  const apply = () => {
    const how = loaded.get('integrate').composite;
    options.how = how === 'merge' || how === 'rebase' ? how : null;
    options.opensRequest = loaded.get('pullRequest').composite !== false;
    options.isDraft = loaded.get('draft').composite === true;
    model.tell();
  };
  loaded.changed.connect(apply);
  apply();
}

/** Learn from jupyterlab-git what it did, and have it look at what was done here. */
async function followGit(
  app: JupyterFrontEnd,
  model: GitModel,
  others: IOthers
): Promise<void> {
  const git = await optionalService(
    app,
    async () => (await import('@jupyterlab/git')).IGitExtension
  );
  if (git) {
    others.git = git;
    const look = new Debouncer(() => model.look(false), NEWS_MS);
    const heard = () => {
      if (model.isVisible) {
        void look.invoke();
      }
    };
    git.headChanged.connect(heard);
    git.statusChanged.connect(heard);
    const refresh = new Debouncer(() => git.refresh(), GATHER_MS);
    model.disposed.connect(() => look.dispose());
    model.acted.connect(() => void refresh.invoke().catch(() => undefined));
    model.disposed.connect(() => refresh.dispose());
    model.tell();
  }
}

/** Open what has come, and say so where nobody sees it. */
function followClones(
  app: JupyterFrontEnd,
  documents: IDocumentManager | null,
  model: GitModel,
  others: IOthers
): void {
  const { clones } = model;
  clones.arrived.connect((_, clone) => {
    arrive(clone, app, documents, others.git);
    if (!model.isVisible && clone.notes.length > 0) {
      Notification.info(clone.notes.join(' '));
    }
  });
  clones.changed.connect(() => {
    const { error, name, state } = clones.current ?? {};
    const isSeen =
      model.isVisible || document.querySelector('.jp-AidpGitDialog[open]');
    if (state === 'failed' && error && !isSeen) {
      Notification.error(`${name}: ${error.message}`);
    }
  });
}

function menuOpener(app: JupyterFrontEnd): (anchor: HTMLElement) => void {
  const menu = new MenuSvg({ commands: app.commands });
  let anchor: HTMLElement | null = null;
  menu.aboutToClose.connect(() => anchor?.focus());
  for (const [index, group] of MENU.entries()) {
    if (index > 0) {
      menu.addItem({ type: 'separator' });
    }
    group.forEach(command => menu.addItem({ command }));
  }
  return from => {
    anchor = from;
    const { left, bottom } = from.getBoundingClientRect();
    menu.open(left, bottom);
  };
}

/** Show how a file differs, or its conflict, in jupyterlab-git where that is there; else the file itself. */
async function openChange(
  { commands }: JupyterFrontEnd,
  documents: IDocumentManager | null,
  git: IGitExtension | null,
  { path: top }: Repository,
  { path, kind, staged, added, old_path, submodule }: IChange
): Promise<void> {
  const isFolder = path.endsWith('/') || submodule;
  if (
    git &&
    kind !== 'untracked' &&
    !isFolder &&
    commands.hasCommand(GIT_DIFF)
  ) {
    const isConflict = kind === 'conflict';
    await showIn(git, top, isConflict);
    const file = {
      filePath: path,
      isText: added !== null || isConflict || path.endsWith('.ipynb'),
      status: isConflict
        ? 'unmerged'
        : staged === 'yes'
          ? 'staged'
          : 'unstaged',
      ...(old_path && { previousFilePath: old_path })
    };
    await commands.execute(GIT_DIFF, { files: [file] });
  } else if (isFolder) {
    if (commands.hasCommand(GO_TO)) {
      await commands.execute(GO_TO, { path: PathExt.join(top, path) });
    }
  } else if (kind !== 'deleted') {
    documents?.openOrReveal(PathExt.join(top, path));
  }
}

/** Show what has come: its folder, and what it begins with. */
function arrive(
  { name, open, path }: IClone,
  { commands }: JupyterFrontEnd,
  documents: IDocumentManager | null,
  git: IGitExtension | null
): void {
  if (path === null) {
    return;
  }
  const show = async () => {
    if (commands.hasCommand(GO_TO)) {
      await commands.execute(GO_TO, { path, dontShowBrowser: true });
    }
    if (open && documents) {
      const file = open.startsWith(`${path}/`)
        ? open
        : PathExt.join(path, open);
      const isPreviewed =
        PathExt.extname(file) === '.md' &&
        documents.registry.getWidgetFactory(PREVIEW) !== undefined;
      documents.openOrReveal(file, isPreviewed ? PREVIEW : undefined);
    }
    await git?.refresh();
  };
  show().catch(reason => {
    Notification.error(`${visible(name)}: ${asAidpError(reason).message}`);
  });
}
