import type { JupyterFrontEnd } from '@jupyterlab/application';
import type {
  IAttachment,
  IChatModel,
  IChatPanel,
  IChatTracker,
  IMessageContent,
  INewMessage
} from '@jupyter/chat';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IMultiChatPanel } from 'jupyterlab-chat';

import { AidpError } from '../shared/request';
import type { IAbout } from './context';
import type { Outbox } from './outbox';
import { isForAidp } from './persona';
import type { IAiChat, IAskOptions } from './tokens';
import type { IFoundChat } from './wire';

const CREATE = 'jupyterlab-chat:createAndOpen';
const OPEN = 'jupyterlab-chat:open';
/** Between two looks at a chat that opens. */
const LOOK_MS = 50;
/** After how many looks in a row that found it as it should be it is taken to rest, and after how many in all. */
const CALM = 20;
const LOOKS = 60;

export interface IDeskOptions {
  readonly app: JupyterFrontEnd;
  readonly panel: IMultiChatPanel | null;
  readonly tracker: IChatTracker;
  readonly outboxOf: (model: IChatModel) => Outbox;
  /** The chats of the workspace, newest first. */
  readonly chats: () => Promise<readonly IFoundChat[]>;
  readonly trans: TranslationBundle;
}

/** Opens chats and asks in them. */
export class ChatDesk implements IAiChat {
  constructor(private _options: IDeskOptions) {}

  readonly isAvailable = true;

  async ask(body: string, options: IAskOptions = {}): Promise<void> {
    const { widget, cell, name, autoSend = true } = options;
    const model = await this._open(name, false);
    if (!autoSend) {
      model.input.value = body;
      model.input.focus();
      return;
    }
    await this.send(model, { body }, { widget, cell });
  }

  /** Send a message to aidp in a chat, with the user's choice of model and privacy there. */
  send(model: IChatModel, message: INewMessage, about?: IAbout): Promise<void> {
    const chosen = model.input.getMetadata();
    const metadata = isForAidp(chosen) ? { ...chosen } : {};
    return this._options.outboxOf(model).send({ ...message, metadata }, about);
  }

  /** Send again what an answer answers. */
  async retry(model: IChatModel, answer: IMessageContent): Promise<void> {
    const at = model.messages.findIndex(({ id }) => id === answer.id);
    const asked = model.messages
      .slice(0, at)
      .reverse()
      .find(({ sender, deleted }) => !sender.bot && !deleted);
    if (asked) {
      const { body, attachments } = asked;
      await this.send(model, { body, attachments });
    }
  }

  /** Show the chat that is open, else the last one, else a new one, with the keyboard in its input. */
  async show(): Promise<void> {
    const model = await this._open(undefined, true);
    model.input.focus();
  }

  /** Show the chat with a file attached to the next message. */
  async attach(path: string): Promise<void> {
    const model = await this._open(undefined, false);
    const attachment: IAttachment = path.endsWith('.ipynb')
      ? { type: 'notebook', value: path }
      : { type: 'file', value: path };
    model.input.addAttachment?.(attachment);
    model.input.focus();
  }

  /** Show a chat, with one of its messages in view where one is named. */
  async reveal(path: string, message?: string): Promise<void> {
    const model = await this._openFile(path);
    await model.ready;
    if (message === undefined) {
      model.input.focus();
      return;
    }
    await arrived(model, message);
    await Promise.all(
      model.messages.map(({ renderedDelegate }) => renderedDelegate.promise)
    );
    const at = model.messages
      .filter(({ deleted }) => !deleted)
      .findIndex(({ id }) => id === message);
    await keepInView(
      () =>
        this._find(one => one.model === model)?.node.querySelector(
          `.jp-chat-messages-container [data-index="${at}"]`
        ) ?? null
    );
  }

  /** One after the other: two questions at once share the chat that the first one opens. */
  private _open(
    name: string | undefined,
    orLast: boolean
  ): Promise<IChatModel> {
    const opened = this._opening.then(() => this._openNow(name, orLast));
    this._opening = opened.catch(() => undefined);
    return opened;
  }

  private async _openNow(
    name: string | undefined,
    orLast: boolean
  ): Promise<IChatModel> {
    const { app, panel } = this._options;
    await this._ready();
    const open = name
      ? undefined
      : (panel?.current ?? this._find(one => one.isVisible));
    if (open) {
      app.shell.activateById(open.area === 'sidebar' ? panel!.id : open.id);
      await open.model.ready;
      return open.model;
    }
    const [last] = orLast ? await this._options.chats().catch(() => []) : [];
    const model = last
      ? await this._openFile(last.path)
      : await this._opened(() =>
          app.commands.execute(CREATE, {
            inSidePanel: true,
            ...(name && { name })
          })
        );
    await model.ready;
    return model;
  }

  private async _openFile(path: string): Promise<IChatModel> {
    await this._ready();
    const { app } = this._options;
    const inMain = this._find(
      ({ area, model }) => area === 'main' && model.name === path
    );
    if (inMain) {
      app.shell.activateById(inMain.id);
      return inMain.model;
    }
    return this._opened(() =>
      app.commands.execute(OPEN, { filepath: path, inSidePanel: true })
    );
  }

  /**
   * The chat that a command opens, in the side panel or, where there is none, in the main area. The panel says at
   * once what it opens; the tracker only later, so that it may tell of the chat before.
   */
  private async _opened(open: () => Promise<unknown>): Promise<IChatModel> {
    const { panel, trans } = this._options;
    const inPanel: IChatPanel[] = [];
    const add = (_: IMultiChatPanel, one: IChatPanel) => void inPanel.push(one);
    panel?.chatOpened.connect(add);
    try {
      const widget = (await open()) as IChatPanel | null | undefined;
      const model = (inPanel.at(-1) ?? widget)?.model;
      if (model) {
        return model;
      }
    } finally {
      panel?.chatOpened.disconnect(add);
    }
    throw new AidpError('no_chat', trans.__('The chat could not be opened.'));
  }

  /** Lab has put back the chats of the last time, and the commands are there. */
  private async _ready(): Promise<void> {
    const { app } = this._options;
    await app.restored;
    await app.serviceManager.ready;
    const { commands } = app;
    if (!commands.hasCommand(OPEN)) {
      await new Promise<void>(resolve => {
        const look = () => {
          if (commands.hasCommand(OPEN)) {
            commands.commandChanged.disconnect(look);
            resolve();
          }
        };
        commands.commandChanged.connect(look);
      });
    }
  }

  private _find(fits: (panel: IChatPanel) => boolean): IChatPanel | undefined {
    return this._options.tracker.find(one => !one.isDisposed && fits(one));
  }

  private _opening: Promise<unknown> = Promise.resolve();
}

/**
 * Bring an element into view and the keyboard to it, until it rests: a chat that opens is drawn more than once, and
 * takes the keyboard to its input each time. Who clicks or types meanwhile is left alone.
 */
async function keepInView(find: () => HTMLElement | null): Promise<void> {
  const user = new AbortController();
  const options = { capture: true, signal: user.signal };
  for (const type of ['pointerdown', 'keydown']) {
    document.addEventListener(type, () => user.abort(), options);
  }
  let calm = 0;
  for (let look = 0; look < LOOKS && calm < CALM; look++) {
    if (user.signal.aborted) {
      return;
    }
    const node = find();
    if (node && document.activeElement === node) {
      calm++;
    } else if (node) {
      calm = 0;
      node.tabIndex = -1;
      node.scrollIntoView({ block: 'center' });
      node.focus({ preventScroll: true });
    }
    await new Promise(resolve => setTimeout(resolve, LOOK_MS));
  }
  user.abort();
}

/** Wait until a message is part of a chat; give up where it does not come. */
function arrived(model: IChatModel, message: string): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(() => done(), 5000);
    const look = () =>
      model.messages.some(({ id }) => id === message) && done();
    const done = () => {
      clearTimeout(timer);
      model.messagesUpdated.disconnect(look);
      resolve();
    };
    model.messagesUpdated.connect(look);
    look();
  });
}
