import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import { Notification } from '@jupyterlab/apputils';
import { URLExt } from '@jupyterlab/coreutils';
import type {
  IChatCommandRegistry,
  IChatModel,
  IChatPanel,
  IChatTracker,
  IMessageFooterRegistry
} from '@jupyter/chat';
import type { IPersonaSessionRegistry } from '@jupyter-ai/persona-manager';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { ITranslator } from '@jupyterlab/translation';
import { nullTranslator } from '@jupyterlab/translation';
import { ToolbarButton, searchIcon } from '@jupyterlab/ui-components';
import { MessageLoop } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import type { IMultiChatPanel } from 'jupyterlab-chat';
import * as React from 'react';

import type { IContextGatherer } from '../ai/context/tokens';
import { DOMAIN, createApi, createFormat } from '../ai/services';
import { CommandIDs, type IAiModel } from '../ai/tokens';
import { AidpServer, asAidpError } from '../shared/request';
import { createContextItem } from './chips';
import { addCommands } from './commands';
import { ChatContext } from './context';
import { ChatDesk } from './desk';
import { Empty } from './empty';
import { createFooter } from './footer';
import { Outbox } from './outbox';
import { isForAidp, personaIn } from './persona';
import { MentionProvider } from './provider';
import { fetchless, withoutRemotePicture } from './safe';
import { showChatSearch } from './search';
import type { IAiChat } from './tokens';
import { ChatCommandIDs } from './tokens';
import { widen } from './width';
import type { IFoundChat } from './wire';
import { watchWork } from './work';

const SETTINGS = 'aidp-ext:chat';
/** Kept in the browser, as the chat keeps what was read. */
const OFF = 'aidp-ext:chat-context-off:';
const WIDENED = 'aidp-ext:chat-widened';
/** How many of the last calls are asked for what an answer took. */
const CALLS = 200;

export interface IConnectOptions {
  readonly app: JupyterFrontEnd;
  readonly ai: IAiModel;
  readonly commands: IChatCommandRegistry | null;
  readonly footers: IMessageFooterRegistry | null;
  readonly gatherer: IContextGatherer | null;
  readonly palette: ICommandPalette | null;
  readonly panel: IMultiChatPanel | null;
  readonly renderers: IRenderMimeRegistry;
  readonly sessions: IPersonaSessionRegistry | null;
  readonly settings: ISettingRegistry | null;
  readonly tracker: IChatTracker;
  readonly translator: ITranslator | null;
}

/** What belongs to one chat, wherever it is shown. */
interface IChat {
  readonly context: ChatContext;
  readonly outbox: Outbox;
}

/** Connect the chats of this Lab, those that are open and those to come, with the user's work. */
export function connectChat(options: IConnectOptions): IAiChat {
  const { app, ai, footers, gatherer, panel, tracker, translator } = options;
  const { contents, serverSettings } = app.serviceManager;
  const trans = (translator ?? nullTranslator).load(DOMAIN);
  const format = createFormat(translator);
  const api = createApi(app, translator);
  const server = new AidpServer(serverSettings, trans);

  const find = async (words: string, signal?: AbortSignal) => {
    const query = URLExt.objectToQueryString({ q: words });
    const { chats } = await server.json<{ chats: IFoundChat[] }>(
      `ai/chats${query}`,
      { signal }
    );
    return chats;
  };

  let isOnByDefault = true;
  const chats = new Map<IChatModel, IChat>();
  const chatOf = (model: IChatModel): IChat => {
    const known = chats.get(model);
    if (known) {
      return known;
    }
    const context = new ChatContext({
      gatherer,
      choose: (question, signal) => api.context(question, signal),
      isSeen: () =>
        tracker.find(one => one.model === model && one.isVisible) !== undefined,
      kept: {
        load: async () => {
          const kept = localStorage.getItem(OFF + (await model.ready));
          return kept === null ? isOnByDefault : kept === 'no';
        },
        save: async isOn =>
          localStorage.setItem(OFF + (await model.ready), isOn ? 'no' : 'yes')
      }
    });
    const outbox = new Outbox(model, {
      context: (body, about) => context.take(body, about),
      isOurs: isForAidp,
      persona: async () => {
        const session = model.id && options.sessions?.get(model.id);
        return session ? personaIn(session) : null;
      },
      lost: () =>
        Notification.error(
          trans.__(
            'The message did not arrive: the connection to the server is lost. It is in the input again.'
          )
        )
    });
    const asItWas = model.formatChatMessage.bind(model);
    model.formatChatMessage = message => withoutRemotePicture(asItWas(message));
    model.input.valueChanged.connect((_, value) => {
      context.draft = value;
    });
    model.disposed.connect(() => {
      context.dispose();
      chats.delete(model);
    });
    const chat = { context, outbox };
    chats.set(model, chat);
    return chat;
  };

  const desk = new ChatDesk({
    app,
    panel,
    tracker,
    outboxOf: model => chatOf(model).outbox,
    chats: () => find(''),
    trans
  });
  /** Do something that may fail, and say so where it does. */
  const attempt = async (work: Promise<void>) => {
    try {
      await work;
    } catch (reason) {
      const { message, nextStep } = asAidpError(reason);
      Notification.error([message, nextStep].filter(Boolean).join(' '));
    }
  };

  const renderers = fetchless(options.renderers, trans);
  const question = () => gatherer?.question({ task: 'chat' }) ?? null;
  const route = (signal: AbortSignal) => api.route({ task: 'chat' }, signal);
  const adopt = ({ widget, model }: IChatPanel) => {
    const { context } = chatOf(model);
    if (widget._chatOptions) {
      // In the main area it is the document's context: more than what can be listed of it.
      Object.assign(widget._chatOptions, {
        rmRegistry: renderers,
        chatBodyPlaceholderFactory: {
          create: () => (
            <Empty
              ai={ai}
              route={route}
              hasDocument={() => !!question()?.document}
              openPanel={() => void app.commands.execute(CommandIDs.openPanel)}
              trans={trans}
              onAsk={body => void attempt(desk.send(model, { body }))}
            />
          )
        }
      });
      // Before the browser paints what it was made with.
      MessageLoop.sendMessage(widget, Widget.Msg.UpdateRequest);
    }
    const items = widget.inputToolbarRegistry;
    if (gatherer && items && !items.get('aidp-context')) {
      items.addItem('aidp-context', {
        element: createContextItem(context, trans),
        position: 1
      });
    }
    context.refresh();
  };
  tracker.forEach(adopt);
  tracker.widgetAdded.connect((_, one) => adopt(one));

  const refresh = () => chats.forEach(({ context }) => context.refresh());
  watchWork(app.shell, one => tracker.has(one), refresh);
  panel?.visibilityChanged.connect((_, isVisible) => {
    refresh();
    if (isVisible && !localStorage.getItem(WIDENED)) {
      localStorage.setItem(WIDENED, 'yes');
      // Once the side has its size.
      requestAnimationFrame(() => widen(app.shell as unknown as Widget, panel));
    }
  });

  footers?.addSection({
    position: 'left',
    component: createFooter({
      format,
      trans,
      call: async id =>
        (await api.calls(CALLS)).find(one => one.id === id) ?? null,
      retry: (model, answer) => void attempt(desk.retry(model, answer))
    })
  });
  options.commands?.addProvider(
    new MentionProvider({ contents, question, trans })
  );

  addCommands({
    app,
    attempt,
    desk,
    isChat: one => tracker.has(one),
    palette: options.palette,
    search: () =>
      showChatSearch({
        search: find,
        open: (path, message) => void attempt(desk.reveal(path, message)),
        format,
        trans
      }),
    toggleContext: () => {
      const model =
        tracker.currentWidget?.model ?? panel?.current?.model ?? null;
      const context = model && chatOf(model).context;
      if (context) {
        context.isOn = !context.isOn;
      }
    },
    trans
  });
  panel?.toolbar.addItem(
    'aidp-search',
    new ToolbarButton({
      icon: searchIcon,
      tooltip: trans.__('Search Chats'),
      onClick: () => void app.commands.execute(ChatCommandIDs.search)
    })
  );

  options.settings?.load(SETTINGS).then(
    settings => {
      const apply = () => {
        isOnByDefault = settings.get('context').composite === true;
      };
      settings.changed.connect(apply);
      apply();
    },
    () => undefined
  );
  return desk;
}
