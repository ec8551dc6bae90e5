import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Poll } from '@lumino/polling';

import { completion } from './completionPlugin';
import { AiModel } from './model';
import { panel } from './panel/plugin';
import { DOMAIN, NO_ARGUMENTS, createApi, createFormat } from './services';
import { AiStatus } from './status';
import { CommandIDs, IAiModel } from './tokens';
import { sentence } from './wording';

const MODES = ['hybrid', 'local', 'offline', 'cloud'];

/** How often to look whether all is as before, and how often while nothing answers. */
const CALM_MS = 60_000;
const ANXIOUS_MS = 20_000;
/** Coming back to the window looks at once, but not at every glance. */
const GLANCE_MS = 5_000;

const model: JupyterFrontEndPlugin<IAiModel> = {
  id: 'aidp-ext:ai-model',
  description: 'Provides the state of the AI router and keeps it fresh.',
  autoStart: true,
  provides: IAiModel,
  optional: [ITranslator],
  activate: (app: JupyterFrontEnd, translator: ITranslator | null) => {
    const model = new AiModel(createApi(app, translator));
    const poll = new Poll({
      name: 'aidp-ext:ai-model',
      factory: () =>
        model.known && !model.reachable ? model.check() : model.refresh(),
      frequency: { interval: CALM_MS, backoff: false },
      standby: 'when-hidden'
    });
    const rhythm = () =>
      // A server without aidp will not get it while it runs.
      model.error?.code === 'not_found'
        ? Poll.NEVER
        : model.reachable
          ? CALM_MS
          : ANXIOUS_MS;
    model.changed.connect(() => {
      if (poll.frequency.interval !== rhythm()) {
        poll.frequency = { ...poll.frequency, interval: rhythm() };
        void poll.schedule({ interval: rhythm(), phase: 'refreshed' });
      }
    });
    window.addEventListener('focus', () => {
      if (
        rhythm() !== Poll.NEVER &&
        Date.now() - poll.state.timestamp > GLANCE_MS
      ) {
        void poll.refresh();
      }
    });
    return model;
  }
};

const modes: JupyterFrontEndPlugin<void> = {
  id: 'aidp-ext:ai-modes',
  description: 'Adds commands that choose where answers may come from.',
  autoStart: true,
  requires: [IAiModel],
  optional: [ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IAiModel,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    const { commands } = app;
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const labels: Record<string, string> = {
      hybrid: trans.__('AI Mode: Hybrid'),
      local: trans.__('AI Mode: Local'),
      offline: trans.__('AI Mode: Offline'),
      cloud: trans.__('AI Mode: Cloud')
    };
    commands.addCommand(CommandIDs.setMode, {
      label: args => labels[String(args['mode'])] ?? trans.__('Set AI Mode'),
      isToggled: args => args['mode'] === model.mode,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            mode: {
              type: 'string',
              enum: MODES,
              description: trans.__('Where answers may come from')
            }
          },
          required: ['mode']
        }
      },
      execute: args => model.setMode(String(args['mode']))
    });
    for (const mode of MODES) {
      palette?.addItem({
        command: CommandIDs.setMode,
        category: trans.__('AI'),
        args: { mode }
      });
    }
    model.changed.connect(() => {
      commands.notifyCommandChanged(CommandIDs.setMode);
    });
  }
};

const status: JupyterFrontEndPlugin<void> = {
  id: 'aidp-ext:ai-status',
  description: 'Shows in the status bar which model answers, and why.',
  autoStart: true,
  requires: [IAiModel],
  optional: [IStatusBar, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IAiModel,
    statusBar: IStatusBar | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    if (!statusBar) {
      return;
    }
    const { commands } = app;
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const format = createFormat(translator);
    const item = new AiStatus({ model, commands, format, trans });
    statusBar.registerStatusItem(status.id, {
      item,
      align: 'left',
      rank: 900
    });
    commands.addCommand(CommandIDs.openStatus, {
      label: trans.__('Show AI Status'),
      describedBy: NO_ARGUMENTS,
      execute: () => item.toggle()
    });
    palette?.addItem({
      command: CommandIDs.openStatus,
      category: trans.__('AI')
    });
  }
};

const notice: JupyterFrontEndPlugin<void> = {
  id: 'aidp-ext:ai-notice',
  description: 'Says once per session when no model can be reached.',
  autoStart: true,
  requires: [IAiModel],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IAiModel,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const say = () => {
      if (model.decision?.route === null) {
        model.changed.disconnect(say);
        Notification.warning(sentence(model).replaceAll('`', ''), {
          autoClose: false,
          actions: [
            {
              label: trans.__('Show AI Status'),
              callback: () => void app.commands.execute(CommandIDs.openStatus)
            }
          ]
        });
      }
    };
    model.changed.connect(say);
  }
};

export const aiPlugins: JupyterFrontEndPlugin<unknown>[] = [
  model,
  completion,
  modes,
  status,
  panel,
  notice
];
