// With what is loaded on demand: a page that opens no experiment need not load its looks.
import '../../style/experiments.css';

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type {
  IEditorLanguageRegistry,
  IEditorThemeRegistry
} from '@jupyterlab/codemirror';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { IStateDB } from '@jupyterlab/statedb';
import type { ITranslator } from '@jupyterlab/translation';
import { nullTranslator } from '@jupyterlab/translation';
import { MenuSvg } from '@jupyterlab/ui-components';

import { DOMAIN, createFormat } from '../ai/services';
import { fetchless } from '../chat/safe';
import { Clock } from '../shared/clock';
import { AidpServer } from '../shared/request';
import { ExperimentsApi } from './api';
import { Badges } from './badges/badges';
import { Desk } from './commands';
import type { IDesk } from './desk';
import { Kept } from './kept';
import type { KeptTabs } from './keptTabs';
import { ExperimentsLive } from './live';
import { ExperimentsModel } from './model';
import type { Notify } from './notify';
import { Notifier } from './notify';
import type { IExperimentsContext } from './panel/context';
import { Panels } from './panels';
import type { IExperimentServices } from './run/services';
import { CommandIDs } from './tokens';
import type { IRow } from './wire';

const MENU = [
  [
    CommandIDs.newExperiment,
    CommandIDs.renameExperiment,
    CommandIDs.deleteExperiment
  ],
  [CommandIDs.newNotebook],
  [CommandIDs.showDeleted, CommandIDs.exportCsv],
  [CommandIDs.openMlflow, CommandIDs.openTab, CommandIDs.start]
];
const RUN_MENU = [
  [CommandIDs.openRun, CommandIDs.compare, CommandIDs.jump],
  [CommandIDs.hide, CommandIDs.unhide],
  [CommandIDs.copyId, CommandIDs.exportCsv],
  [CommandIDs.deleteRuns, CommandIDs.restoreRuns]
];

export interface IConnectOptions {
  readonly app: JupyterFrontEnd;
  readonly documents: IDocumentManager | null;
  readonly keptTabs: KeptTabs;
  readonly languages: IEditorLanguageRegistry | null;
  readonly notebooks: INotebookTracker | null;
  readonly rendermime: IRenderMimeRegistry | null;
  readonly settings: ISettingRegistry | null;
  readonly stateDb: IStateDB | null;
  readonly themes: IEditorThemeRegistry | null;
  readonly translator: ITranslator | null;
}

/** Connect the lists with this Lab: with its notebooks, its notifications, its settings. */
export async function connect(options: IConnectOptions): Promise<IDesk> {
  const { app, documents, keptTabs, notebooks, rendermime, settings } = options;
  const { languages, stateDb, themes, translator } = options;
  const { contents, serverSettings } = app.serviceManager;
  const { commands } = app;
  const trans = (translator ?? nullTranslator).load(DOMAIN);
  const format = createFormat(translator);
  const api = new ExperimentsApi(
    new AidpServer(serverSettings, trans),
    serverSettings.baseUrl
  );
  const kept = new Kept(stateDb);
  await kept.load();
  const model = new ExperimentsModel(
    api,
    new ExperimentsLive(serverSettings),
    kept
  );
  const { live } = model;
  const clock = new Clock();
  const context: IExperimentsContext = {
    clock,
    commands,
    format,
    model,
    trans,
    leave: () => {
      const { currentWidget } = app.shell;
      if (currentWidget) {
        app.shell.activateById(currentWidget.id);
      }
    },
    openMenu: menuOpener(app, MENU),
    openRunMenu: menuOpener(app, RUN_MENU)
  };
  const panels = new Panels(model, context);
  const services: IExperimentServices = {
    ...{ app, api, live, trans, format, languages, themes, documents },
    rendermime: rendermime && fetchless(rendermime, trans)
  };
  const notifier = new Notifier({
    ...{ commands, format, trans },
    isSeen: row => panels.sees(row.id) || seesCell(notebooks, row)
  });
  live.ended.connect((_, row) => notifier.hear(row));
  const badges =
    notebooks &&
    new Badges({ api, live, commands, contents, trans }, notebooks);
  void followSettings(settings, notifier, badges);
  return new Desk({ app, keptTabs, model, panels, services, trans });
}

async function followSettings(
  settings: ISettingRegistry | null,
  notifier: Notifier,
  badges: Badges | null
): Promise<void> {
  const loaded = await settings?.load('aidp-ext:experiments').catch(() => null);
  if (!loaded) {
    // The defaults do.
    return;
  }
  const apply = () => {
    notifier.wish = loaded.get('notify').composite as Notify;
    if (badges) {
      badges.isShown = loaded.get('badges').composite !== false;
    }
  };
  loaded.changed.connect(apply);
  apply();
}

/** Whether the notebook with the run's cell is what the user looks at. */
function seesCell(notebooks: INotebookTracker | null, { cell }: IRow): boolean {
  const panel = notebooks?.currentWidget;
  return (
    document.visibilityState === 'visible' &&
    !!cell &&
    !!panel?.isVisible &&
    panel.context.path === cell.notebook
  );
}

function menuOpener(
  { commands }: JupyterFrontEnd,
  groups: readonly (readonly string[])[]
): (anchor: HTMLElement) => void {
  const menu = new MenuSvg({ commands });
  let anchor: HTMLElement | null = null;
  menu.aboutToClose.connect(() => anchor?.focus());
  for (const [index, group] of groups.entries()) {
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
