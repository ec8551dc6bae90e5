import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator } from '@jupyterlab/translation';

import { IContextGatherer } from '../ai/context/tokens';
import { IAiModel } from '../ai/tokens';
import { optionalService } from './optional';
import { IAiChat } from './tokens';

/** Its id is also the name of its settings, schema/chat.json. */
const chat: JupyterFrontEndPlugin<IAiChat> = {
  id: 'aidp-ext:chat',
  description:
    'Makes the chat know the work: context, mentions, cost and route, search.',
  autoStart: true,
  provides: IAiChat,
  requires: [IRenderMimeRegistry, IAiModel],
  optional: [IContextGatherer, ISettingRegistry, ICommandPalette, ITranslator],
  activate: async (
    app: JupyterFrontEnd,
    renderers: IRenderMimeRegistry,
    ai: IAiModel,
    gatherer: IContextGatherer | null,
    settings: ISettingRegistry | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    const tracker = await optionalService(
      app,
      async () => (await import('@jupyter/chat')).IChatTracker
    );
    if (!tracker) {
      return { isAvailable: false, ask: () => Promise.resolve() };
    }
    const [footers, commands, panel, sessions] = await Promise.all([
      optionalService(
        app,
        async () => (await import('@jupyter/chat')).IMessageFooterRegistry
      ),
      optionalService(
        app,
        async () => (await import('@jupyter/chat')).IChatCommandRegistry
      ),
      optionalService(
        app,
        async () => (await import('jupyterlab-chat')).IMultiChatPanel
      ),
      optionalService(
        app,
        async () =>
          (await import('@jupyter-ai/persona-manager')).IPersonaSessionRegistry
      )
    ]);
    // Only where there is a chat.
    const { connectChat } = await import('./connect');
    return connectChat({
      app,
      ai,
      commands,
      footers,
      gatherer,
      palette,
      panel,
      renderers,
      sessions,
      settings,
      tracker,
      translator
    });
  }
};

export const chatPlugins: JupyterFrontEndPlugin<unknown>[] = [chat];
