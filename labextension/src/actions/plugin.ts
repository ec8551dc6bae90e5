import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, ISessionContextDialogs } from '@jupyterlab/apputils';
import {
  IEditorLanguageRegistry,
  IEditorThemeRegistry
} from '@jupyterlab/codemirror';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IEditorTracker } from '@jupyterlab/fileeditor';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { MenuSvg } from '@jupyterlab/ui-components';

import { IContextGatherer } from '../ai/context/tokens';
import { Feedback } from '../ai/feedback';
import { DOMAIN, NO_ARGUMENTS, createApi, createFormat } from '../ai/services';
import { IAiModel } from '../ai/tokens';
import { fetchless } from '../chat/safe';
import { IAiChat } from '../chat/tokens';
import { aidpIcon } from '../shared/icons';
import { AidpServer } from '../shared/request';
import type { ITarget } from './actions';
import { Actions } from './actions';
import { ActionsApi } from './api';
import { watchFailures } from './fix';
import { ACTIONS, CommandIDs } from './tokens';
import { actionName } from './wording';
import { Workspace } from './workspace';

/** What a command of an action may be told. */
const ARGUMENTS = {
  args: {
    type: 'object',
    properties: {
      cell: {
        type: 'string',
        description:
          "The id of a cell of the current notebook; the active one by default. A file's is ignored."
      },
      instruction: {
        type: 'string',
        description: 'What is wanted, in words.'
      }
    }
  }
} as const;

const PLUGIN = 'aidp-ext:actions';

/** Its id is also the name of its settings, schema/actions.json: the menus, the toolbar and the shortcuts. */
const actions: JupyterFrontEndPlugin<void> = {
  id: PLUGIN,
  description:
    'Explains, fixes and changes cells and files, after a look at what would change.',
  autoStart: true,
  requires: [IAiModel, IContextGatherer],
  optional: [
    INotebookTracker,
    IEditorTracker,
    IDocumentManager,
    IRenderMimeRegistry,
    IEditorLanguageRegistry,
    IEditorThemeRegistry,
    ISessionContextDialogs,
    ICommandPalette,
    IAiChat,
    ISettingRegistry,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    model: IAiModel,
    gatherer: IContextGatherer,
    notebooks: INotebookTracker | null,
    editors: IEditorTracker | null,
    documents: IDocumentManager | null,
    rendermime: IRenderMimeRegistry | null,
    languages: IEditorLanguageRegistry | null,
    themes: IEditorThemeRegistry | null,
    dialogs: ISessionContextDialogs | null,
    palette: ICommandPalette | null,
    chat: IAiChat | null,
    registry: ISettingRegistry | null,
    translator: ITranslator | null
  ) => {
    const { commands, serviceManager } = app;
    const { contents, serverSettings } = serviceManager;
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const files = new Workspace({ contents, documents, editors, trans });
    let settings: ISettingRegistry.ISettings | null = null;
    registry?.load(PLUGIN).then(
      loaded => (settings = loaded),
      () => undefined // The defaults hold; Lab has said why.
    );
    const actions = new Actions({
      app,
      privacy: () => {
        const wish = settings?.get('privacy').composite;
        return wish === 'local' || wish === 'redact' ? wish : null;
      },
      api: new ActionsApi(new AidpServer(serverSettings, trans)),
      model,
      gatherer,
      feedback: new Feedback(createApi(app, translator)),
      notebooks,
      editors,
      dialogs,
      translator,
      files,
      view: {
        trans,
        format: createFormat(translator),
        rendermime: rendermime && fetchless(rendermime, trans),
        languages,
        themes,
        chat,
        openFile: path => files.open(path),
        askInChat: ({ options, text }) => {
          const { action, cell, site } = options;
          const name = actionName(action, trans);
          const quoted = text.replace(/^/gm, '> ');
          void chat?.ask(`${name}:\n\n${quoted}\n\n`, {
            widget: site.widget,
            cell,
            autoSend: false
          });
        }
      }
    });
    const cellOf = ({ cell }: { readonly cell?: unknown }) =>
      typeof cell === 'string' && cell ? cell : undefined;

    for (const [action, command] of ACTIONS) {
      commands.addCommand(command, {
        label: ({ isPalette }) =>
          !isPalette
            ? actionName(action, trans)
            : action === 'edit'
              ? trans.__('Edit with AI…')
              : trans.__('%1 with AI', actionName(action, trans)),
        describedBy: ARGUMENTS,
        isEnabled: args => {
          const target = actions.target(cellOf(args));
          return target !== null && actions.can(action, target);
        },
        isVisible: () => action !== 'summary' || isNotebook(actions.target()),
        execute: async args => {
          // At first a document is empty, and its cells are other ones.
          await actions.target(cellOf(args))?.site.ready;
          const target = actions.target(cellOf(args));
          if (target && actions.can(action, target)) {
            const { instruction } = args;
            const words = typeof instruction === 'string' ? instruction : '';
            await actions.start(action, target, words);
          }
        }
      });
      palette?.addItem({
        command,
        category: trans.__('AI'),
        args: { isPalette: true }
      });
    }

    const menu = new MenuSvg({ commands });
    for (const [action, command] of ACTIONS) {
      if (action === 'tests' || action === 'summary') {
        menu.addItem({ type: 'separator' });
      }
      menu.addItem({ command });
    }
    let from: Element | null = null;
    menu.aboutToClose.connect(() => {
      if (from instanceof HTMLElement) {
        from.focus();
      }
    });
    commands.addCommand(CommandIDs.menu, {
      label: trans.__('AI Actions…'),
      caption: trans.__('Explain, fix or change this with AI'),
      icon: aidpIcon,
      describedBy: NO_ARGUMENTS,
      isEnabled: () => actions.target() !== null,
      execute: () => {
        const target = actions.target();
        if (target) {
          from = document.activeElement;
          const { x, y } = placeOf(target, from);
          menu.open(x, y);
          menu.activateNextItem();
        }
      }
    });
    commands.addCommand(CommandIDs.focus, {
      label: trans.__('Go to the Proposal'),
      describedBy: NO_ARGUMENTS,
      isEnabled: () => {
        const target = actions.target();
        return target !== null && actions.frame(target) !== null;
      },
      execute: () => {
        const target = actions.target();
        if (target) {
          actions.frame(target)?.enter();
        }
      }
    });
    for (const command of Object.values(CommandIDs)) {
      palette?.addItem({ command, category: trans.__('AI') });
    }

    if (notebooks) {
      watchFailures(notebooks, trans, (panel, cell) => {
        void actions.start('fix', { site: actions.notebook(panel), cell });
      });
    }
  }
};

export const actionsPlugins: JupyterFrontEndPlugin<unknown>[] = [actions];

function isNotebook(target: ITarget | null): boolean {
  return target?.site.canRun ?? false;
}

/** Where a menu about a target opens: at what was pressed, at the cursor, or at the target. */
function placeOf(
  { site }: ITarget,
  from: Element | null
): { readonly x: number; readonly y: number } {
  const button = site.widget.node.querySelector(
    `.jp-cell-toolbar [data-command="${CommandIDs.menu}"]`
  );
  const cursor = site.widget.node.querySelector('.cm-focused .cm-cursor');
  const place =
    [from?.closest('.jp-cell-toolbar') && from, cursor, button, from].find(
      element => element && element.getBoundingClientRect().height > 0
    ) ?? site.widget.node;
  const { left, bottom } = place.getBoundingClientRect();
  return { x: left, y: bottom };
}
