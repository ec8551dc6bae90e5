import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import {
  IEditorLanguageRegistry,
  IEditorThemeRegistry
} from '@jupyterlab/codemirror';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { DOMAIN, NO_ARGUMENTS } from '../ai/services';
import type { IDesk } from './desk';
import { experimentsIcon, iconAddress } from './icon';
import { KeptTabs } from './keptTabs';
import { labels } from './labels';
import type { IExperimentsArgs } from './tokens';
import { ARGUMENTS, CommandIDs, DeskCommandIDs } from './tokens';
import { watchKernels } from './watch';
import { ExperimentsPanel } from './widget';

const ID = 'aidp-experiments-panel';
/** After the Ship panel. */
const RANK = 320;

/** Its id is also the name of its settings, schema/experiments.json. */
const experiments: JupyterFrontEndPlugin<void> = {
  id: 'aidp-ext:experiments',
  description:
    'Adds the Experiments panel: the runs of your notebooks, live, each with the cell that made it.',
  autoStart: true,
  optional: [
    ILayoutRestorer,
    ICommandPalette,
    ILauncher,
    INotebookTracker,
    IDocumentManager,
    IRenderMimeRegistry,
    IEditorLanguageRegistry,
    IEditorThemeRegistry,
    ISettingRegistry,
    IStateDB,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    notebooks: INotebookTracker | null,
    documents: IDocumentManager | null,
    rendermime: IRenderMimeRegistry | null,
    languages: IEditorLanguageRegistry | null,
    themes: IEditorThemeRegistry | null,
    settings: ISettingRegistry | null,
    stateDb: IStateDB | null,
    translator: ITranslator | null
  ) => {
    const { commands, shell } = app;
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const keptTabs = new KeptTabs(restorer);
    /** What has been loaded. */
    let desk: IDesk | null = null;
    let loading: Promise<IDesk> | null = null;
    const load = () => {
      loading ??= import(
        /* webpackChunkName: 'on-demand-experiments' */ './connect'
      )
        .then(({ connect }) =>
          connect({
            ...{ app, documents, keptTabs, languages, notebooks, rendermime },
            ...{ settings, stateDb, themes, translator }
          })
        )
        .then(
          loaded => (desk = loaded),
          (reason: unknown) => {
            loading = null;
            throw reason;
          }
        );
      return loading;
    };

    const panel = new ExperimentsPanel(load, trans, 'side');
    panel.id = ID;
    panel.title.icon = experimentsIcon;
    panel.title.caption = trans.__('Experiments');
    shell.add(panel, 'left', { rank: RANK, type: 'Experiments' });
    restorer?.add(panel, ID);
    if (notebooks) {
      watchKernels(notebooks, () => void load());
    }

    let tab: ExperimentsPanel | null = null;
    commands.addCommand(CommandIDs.openPanel, {
      label: trans.__('Experiments Panel'),
      describedBy: NO_ARGUMENTS,
      execute: () => shell.activateById(ID)
    });
    commands.addCommand(CommandIDs.openTab, {
      label: trans.__('Open Experiments as a Tab'),
      describedBy: NO_ARGUMENTS,
      execute: () => {
        if (!tab) {
          tab = new ExperimentsPanel(load, trans, 'tab');
          tab.id = `${ID}-tab`;
          tab.title.icon = experimentsIcon;
          tab.title.label = trans.__('Experiments');
          tab.title.closable = true;
          shell.add(tab, 'main', { type: 'Experiments' });
          keptTabs.add(CommandIDs.openTab, tab);
          tab.disposed.connect(() => (tab = null));
        }
        shell.activateById(tab.id);
      }
    });
    for (const [command, label] of labels(trans)) {
      commands.addCommand(command, {
        label,
        describedBy: ARGUMENTS,
        isEnabled: args =>
          isGiven(args) || (desk?.can(command) ?? LOADERS.includes(command)),
        execute: async args =>
          (await load()).run(command, args as IExperimentsArgs)
      });
    }
    const category = trans.__('Experiments');
    for (const command of Object.values(CommandIDs)) {
      if (command !== CommandIDs.showCell) {
        palette?.addItem({ command, category });
      }
    }
    launcher?.add({
      command: CommandIDs.newNotebook,
      category: trans.__('Notebook'),
      kernelIconUrl: iconAddress,
      rank: 100
    });
  }
};

/** Whether a command is told what it is about, and so needs no list for it. */
function isGiven(args: ReadonlyPartialJSONObject): boolean {
  return Array.isArray(args['runs']) || typeof args['notebook'] === 'string';
}

/** What makes sense before anything is loaded. */
const LOADERS: readonly string[] = [
  DeskCommandIDs.refresh,
  DeskCommandIDs.start,
  DeskCommandIDs.newExperiment,
  DeskCommandIDs.newNotebook,
  DeskCommandIDs.openMlflow
];

export const experimentsPlugins: JupyterFrontEndPlugin<unknown>[] = [
  experiments
];
