import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import { Notification } from '@jupyterlab/apputils';
import { URLExt } from '@jupyterlab/coreutils';
import type {
  IChatCommandRegistry,
  IChatPanel,
  IChatTracker,
  IChatWidget,
  IMessageFooterRegistry
} from '@jupyter/chat';
import type { IPersonaSessionRegistry } from '@jupyter-ai/persona-manager';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { ITranslator, TranslationBundle } from '@jupyterlab/translation';
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
import { Chats } from './chats';
import { createContextItem } from './chips';
import { addCommands } from './commands';
import { ChatDesk } from './desk';
import type { IEmptyOptions } from './empty';
import { Empty } from './empty';
import { createFooter } from './footer';
import { MentionProvider } from './provider';
import { fetchless } from './safe';
import { showChatSearch } from './search';
import type { IAiChat } from './tokens';
import { ChatCommandIDs } from './tokens';
import { widenSoon } from './width';
import type { IFoundChat } from './wire';
import { watchWork } from './work';

const SETTINGS = 'aidp-ext:chat';
/** Kept in the browser. */
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

/** Connect the chats of this Lab, those that are open and those to come, with the user's work. */
export function connectChat(options: IConnectOptions): IAiChat {
  const { app, footers, gatherer, panel, tracker, translator } = options;
  const trans = (translator ?? nullTranslator).load(DOMAIN);
  const api = createApi(app, translator);
  const chats = new Chats({ ...options, api, trans });
  const find = finder(app, trans);
  const desk = new ChatDesk({
    app,
    panel,
    tracker,
    outboxOf: model => chats.of(model).outbox,
    chats: () => find(''),
    trans
  });
  const question = () => gatherer?.question({ task: 'chat' }) ?? null;

  const renderers = fetchless(options.renderers, trans);
  const empty: Omit<IEmptyOptions, 'trans'> = {
    ai: options.ai,
    route: signal => api.route({ task: 'chat' }, signal),
    hasDocument: () => !!question()?.document,
    openPanel: () => void app.commands.execute(CommandIDs.openPanel)
  };
  const adopt = ({ widget, model }: IChatPanel) => {
    const { context } = chats.of(model);
    draw(widget, renderers, () => (
      <Empty
        {...empty}
        trans={trans}
        onAsk={body => void attempt(desk.send(model, { body }))}
      />
    ));
    const items = widget.inputToolbarRegistry;
    if (gatherer && items && !items.get('aidp-context')) {
      const element = createContextItem(context, trans);
      items.addItem('aidp-context', { element, position: 1 });
    }
    context.refresh();
  };
  tracker.forEach(adopt);
  tracker.widgetAdded.connect((_, one) => adopt(one));

  const format = createFormat(translator);
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
  const { contents } = app.serviceManager;
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
      const model = tracker.currentWidget?.model ?? panel?.current?.model;
      if (model) {
        const { context } = chats.of(model);
        context.isOn = !context.isOn;
      }
    },
    trans
  });
  follow(options, chats);
  if (panel) {
    equip(panel, app, trans);
  }
  return desk;
}

/** What looks for words in the chats of the workspace. */
function finder(app: JupyterFrontEnd, trans: TranslationBundle) {
  const server = new AidpServer(app.serviceManager.serverSettings, trans);
  return async (words: string, signal?: AbortSignal) => {
    const query = URLExt.objectToQueryString({ q: words });
    const { chats } = await server.json<{ chats: IFoundChat[] }>(
      `ai/chats${query}`,
      { signal }
    );
    return chats;
  };
}

/** Do something that may fail, and say so where it does. */
async function attempt(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (reason) {
    const { message, nextStep } = asAidpError(reason);
    Notification.error([message, nextStep].filter(Boolean).join(' '));
  }
}

/** Have a chat draw its messages, and that there are none, with ours. */
function draw(
  widget: IChatWidget,
  rmRegistry: IRenderMimeRegistry,
  empty: () => React.ReactElement
): void {
  if (widget._chatOptions) {
    // In the main area it is the document's context: more than what can be listed of it.
    Object.assign(widget._chatOptions, {
      rmRegistry,
      chatBodyPlaceholderFactory: { create: empty }
    });
    // Before the browser paints what it was made with.
    MessageLoop.sendMessage(widget, Widget.Msg.UpdateRequest);
  }
}

/** Keep up with the work, with what is in view, and with the settings. */
function follow(options: IConnectOptions, chats: Chats): void {
  const { app, panel, settings, tracker } = options;
  const refresh = () => chats.refresh();
  watchWork(app.shell, one => tracker.has(one), refresh);
  panel?.visibilityChanged.connect(refresh);
  settings?.load(SETTINGS).then(
    loaded => {
      const apply = () => {
        chats.isOnByDefault = loaded.get('context').composite === true;
      };
      loaded.changed.connect(apply);
      apply();
    },
    () => undefined
  );
}

/** Give the side panel its width, the first time that it is shown, and a button for the search. */
function equip(
  panel: IMultiChatPanel,
  app: JupyterFrontEnd,
  trans: TranslationBundle
): void {
  panel.visibilityChanged.connect((_, isVisible) => {
    if (isVisible && !localStorage.getItem(WIDENED)) {
      localStorage.setItem(WIDENED, 'yes');
      widenSoon(app.shell as unknown as Widget, panel);
    }
  });
  panel.toolbar.addItem(
    'aidp-search',
    new ToolbarButton({
      icon: searchIcon,
      tooltip: trans.__('Search Chats'),
      onClick: () => void app.commands.execute(ChatCommandIDs.search)
    })
  );
}
