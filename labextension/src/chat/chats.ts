import { Notification } from '@jupyterlab/apputils';
import type { IChatModel, IChatTracker } from '@jupyter/chat';
import type { IPersonaSessionRegistry } from '@jupyter-ai/persona-manager';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { AiApi } from '../ai/api';
import type { IContextGatherer } from '../ai/context/tokens';
import { ChatContext } from './context';
import { Outbox } from './outbox';
import { isForAidp, personaIn } from './persona';
import { withoutRemotePicture } from './safe';

/** Kept in the browser, where the chat keeps what was read. */
const OFF = 'aidp-ext:chat-context-off:';

/** What belongs to one chat, wherever it is shown. */
export interface IChat {
  readonly context: ChatContext;
  readonly outbox: Outbox;
}

export interface IChatsOptions {
  readonly api: Pick<AiApi, 'context'>;
  readonly gatherer: IContextGatherer | null;
  readonly sessions: IPersonaSessionRegistry | null;
  readonly tracker: IChatTracker;
  readonly trans: TranslationBundle;
}

/** The chats that are open. */
export class Chats {
  constructor(private _options: IChatsOptions) {}

  /** Whether a chat tells of the work where the user has not chosen. */
  isOnByDefault = true;

  /** What belongs to a chat; with the first question for it, its messages get their context. */
  of(model: IChatModel): IChat {
    const known = this._open.get(model);
    if (known) {
      return known;
    }
    const chat = this._connect(model);
    this._open.set(model, chat);
    model.disposed.connect(() => {
      chat.context.dispose();
      this._open.delete(model);
    });
    return chat;
  }

  /** The work is another now. */
  refresh(): void {
    for (const { context } of this._open.values()) {
      context.refresh();
    }
  }

  private _connect(model: IChatModel): IChat {
    const { sessions, trans } = this._options;
    const context = this._context(model);
    const outbox = new Outbox(model, {
      context: (body, about) => context.take(body, about),
      isOurs: isForAidp,
      persona: async () => {
        const session = model.id && sessions?.get(model.id);
        return session ? personaIn(session) : null;
      },
      lost: () =>
        Notification.error(
          trans.__(
            'The message did not arrive: the connection to the server is lost. It is in the input again.'
          )
        )
    });
    model.input.valueChanged.connect((_, value) => {
      context.draft = value;
    });
    const asItWas = model.formatChatMessage.bind(model);
    model.formatChatMessage = message => withoutRemotePicture(asItWas(message));
    return { context, outbox };
  }

  private _context(model: IChatModel): ChatContext {
    const { api, gatherer, tracker } = this._options;
    return new ChatContext({
      gatherer,
      choose: (question, signal) => api.context(question, signal),
      isSeen: () =>
        tracker.find(one => one.model === model && one.isVisible) !== undefined,
      kept: {
        load: async () => {
          const kept = localStorage.getItem(OFF + (await model.ready));
          return kept === null ? this.isOnByDefault : kept === 'no';
        },
        save: async isOn =>
          localStorage.setItem(OFF + (await model.ready), isOn ? 'no' : 'yes')
      }
    });
  }

  private _open = new Map<IChatModel, IChat>();
}
