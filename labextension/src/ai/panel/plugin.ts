import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { Dialog, ICommandPalette, showDialog } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { MenuSvg } from '@jupyterlab/ui-components';

import { Clock } from '../../shared/clock';
import { aidpIcon } from '../../shared/icons';
import { excerpt } from '../excerpt';
import { DOMAIN, NO_ARGUMENTS, createApi, createFormat } from '../services';
import { CommandIDs, IAiModel } from '../tokens';
import { PanelData } from './data';
import { AiPanel } from './panel';

const ID = 'aidp-ai-panel';
/** Lab's command that opens the settings. */
const SETTINGS = 'settingeditor:open';
/** After Lab's own file browser and running sessions. */
const RANK = 300;

export const panel: JupyterFrontEndPlugin<void> = {
  id: 'aidp-ext:ai-panel',
  description:
    'Adds the AI panel: providers, calls, costs, and what leaves this machine.',
  autoStart: true,
  requires: [IAiModel],
  optional: [ILayoutRestorer, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IAiModel,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    const { commands, serviceManager, shell } = app;
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const api = createApi(app, translator);

    const menu = new MenuSvg({ commands });
    let anchor: HTMLElement | null = null;
    menu.aboutToClose.connect(() => anchor?.focus());

    const panel = new AiPanel({
      api,
      commands,
      model,
      trans,
      clock: new Clock(),
      data: new PanelData(api, model),
      format: createFormat(translator),
      confirm: async (title, action) => {
        const buttons = [
          Dialog.cancelButton(),
          Dialog.warnButton({ label: action })
        ];
        const { button } = await showDialog({ title, buttons });
        return button.accept;
      },
      excerpt: () => excerpt(shell.currentWidget, serviceManager.contents),
      leave: () => {
        if (shell.currentWidget) {
          shell.activateById(shell.currentWidget.id);
        }
      },
      openMenu: from => {
        anchor = from;
        const { left, bottom } = from.getBoundingClientRect();
        menu.open(left, bottom);
      }
    });
    panel.id = ID;
    panel.title.icon = aidpIcon;
    panel.title.caption = trans.__('AI');
    shell.add(panel, 'left', { rank: RANK, type: 'AI' });
    restorer?.add(panel, ID);

    commands.addCommand(CommandIDs.openPanel, {
      label: trans.__('AI Panel'),
      describedBy: NO_ARGUMENTS,
      execute: () => shell.activateById(ID)
    });
    commands.addCommand(CommandIDs.checkProviders, {
      label: trans.__('Check AI Providers Again'),
      describedBy: NO_ARGUMENTS,
      execute: () => model.check()
    });
    commands.addCommand(CommandIDs.openSettings, {
      label: trans.__('AI Settings'),
      isVisible: () => commands.hasCommand(SETTINGS),
      describedBy: NO_ARGUMENTS,
      execute: () => commands.execute(SETTINGS, { query: 'aidp' })
    });
    for (const command of [
      CommandIDs.openPanel,
      CommandIDs.checkProviders,
      CommandIDs.openSettings
    ]) {
      palette?.addItem({ command, category: trans.__('AI') });
    }
    menu.addItem({ command: CommandIDs.checkProviders });
    menu.addItem({ command: CommandIDs.toggleCompletion });
    menu.addItem({ command: CommandIDs.openStatus });
    menu.addItem({ type: 'separator' });
    menu.addItem({ command: CommandIDs.openSettings });
  }
};
