import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { DOMAIN, NO_ARGUMENTS } from '../ai/services';
import type { IDesk } from './desk';
import { shipIcon } from './icon';
import { ShipPanel } from './panel/panel';
import { CommandIDs } from './tokens';

const ID = 'aidp-ship-panel';
/** After the AI panel. */
const RANK = 310;

/** Its id is also the name of its settings, schema/git.json. */
const ship: JupyterFrontEndPlugin<void> = {
  id: 'aidp-ext:git',
  description:
    'Adds the Ship panel: from changes through checks and a commit to a pull request.',
  autoStart: true,
  optional: [
    ILayoutRestorer,
    ICommandPalette,
    IDocumentManager,
    ISettingRegistry,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    documents: IDocumentManager | null,
    settings: ISettingRegistry | null,
    translator: ITranslator | null
  ) => {
    const { commands, shell } = app;
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    /** What has been loaded. */
    let desk: IDesk | null = null;
    let loading: Promise<IDesk> | null = null;
    const load = () => {
      loading ??= import(/* webpackChunkName: 'on-demand-git' */ './connect')
        .then(({ connect }) =>
          connect({
            app,
            documents,
            settings,
            translator,
            isOurs: widget => widget instanceof ShipPanel,
            reveal
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

    const panel = new ShipPanel(load, trans);
    panel.id = ID;
    panel.title.icon = shipIcon;
    panel.title.caption = trans.__('Ship');
    shell.add(panel, 'left', { rank: RANK, type: 'Ship' });
    restorer?.add(panel, ID);
    let tab: ShipPanel | null = null;
    const reveal = () => {
      const shown = tab?.isVisible ? tab : panel;
      shell.activateById(shown.id);
      return shown.node;
    };

    const add = (
      command: string,
      label: string,
      run: (desk: IDesk) => Promise<void>,
      isVisible: (desk: IDesk) => boolean = () => true
    ) => {
      commands.addCommand(command, {
        label,
        describedBy: NO_ARGUMENTS,
        isVisible: () => desk === null || isVisible(desk),
        execute: async () => run(await load())
      });
    };
    const stateOf = ({ model }: IDesk) => model.repository?.state;

    commands.addCommand(CommandIDs.openPanel, {
      label: trans.__('Ship Panel'),
      describedBy: NO_ARGUMENTS,
      execute: () => shell.activateById(ID)
    });
    commands.addCommand(CommandIDs.openTab, {
      label: trans.__('Open Ship as a Tab'),
      describedBy: NO_ARGUMENTS,
      execute: () => {
        if (!tab) {
          tab = new ShipPanel(load, trans);
          tab.id = `${ID}-tab`;
          tab.title.icon = shipIcon;
          tab.title.label = trans.__('Ship');
          tab.title.closable = true;
          shell.add(tab, 'main', { type: 'Ship' });
          tab.disposed.connect(() => (tab = null));
        }
        shell.activateById(tab.id);
      }
    });
    add(CommandIDs.ship, trans.__('Ship Changes…'), desk => desk.ship());
    add(CommandIDs.import, trans.__('Import a Repository…'), desk =>
      desk.openDialog('import')
    );
    add(CommandIDs.accounts, trans.__('Accounts…'), desk =>
      desk.openDialog('accounts')
    );
    add(CommandIDs.check, trans.__('Check Changes'), desk => desk.check());
    add(CommandIDs.suggest, trans.__('Suggest a Commit Message'), desk =>
      desk.suggest()
    );
    add(CommandIDs.pull, trans.__('Pull'), desk => desk.pull());
    add(CommandIDs.undo, trans.__('Undo the Last Commit…'), desk =>
      desk.undo()
    );
    add(CommandIDs.branch, trans.__('New Branch…'), desk => desk.branch());
    add(
      CommandIDs.abort,
      trans.__('Take Back the Merge or Rebase…'),
      desk => desk.abort(),
      desk => !!stateOf(desk)?.operation
    );
    add(
      CommandIDs.unlock,
      trans.__('Remove the Lock…'),
      desk => desk.unlock(),
      desk => (stateOf(desk)?.lock_age_s ?? null) !== null
    );
    add(CommandIDs.refresh, trans.__('Look at the Repository Again'), desk =>
      desk.refresh()
    );
    add(
      CommandIDs.openGit,
      trans.__('Open in Git'),
      desk => desk.openGit(),
      desk => desk.hasGit
    );
    add(
      CommandIDs.openForge,
      trans.__('Open on GitHub or GitLab'),
      desk => desk.openForge(),
      desk => desk.isOnForge
    );
    for (const command of Object.values(CommandIDs)) {
      palette?.addItem({ command, category: trans.__('Git') });
    }
  }
};

export const gitPlugins: JupyterFrontEndPlugin<unknown>[] = [ship];
