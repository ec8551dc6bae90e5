import type { IChatModel, IMessageMetadata, INewMessage } from '@jupyter/chat';

import type { IAbout } from './context';
import type { ISentContext } from './wire';

/** How long a message may take to come back from the server as part of the chat. */
const ARRIVES_MS = 10_000;

export interface IOutboxOptions {
  /** What goes along with a message. Never rejects. */
  readonly context: (body: string, about?: IAbout) => Promise<ISentContext>;
  /** Whether a message is for aidp, by its metadata. */
  readonly isOurs: (metadata: IMessageMetadata) => boolean;
  /** The id of aidp's persona in the chat; null where nobody knows it, and the server has to find it. */
  readonly persona: () => Promise<string | null>;
  /** A message did not arrive; it is in the input again. */
  readonly lost: () => void;
}

/**
 * Sends the messages of one chat, in the order in which they were written, each with its context. The input is free
 * at once; a message that does not arrive is put back into it.
 */
export class Outbox {
  constructor(
    private _model: IChatModel,
    private _options: IOutboxOptions
  ) {
    const { input } = _model;
    const send = input.send;
    input.send = body => {
      const metadata = input.getMetadata();
      const isEmpty = !body.trim() && input.attachments.length === 0;
      if (isEmpty || !_options.isOurs(metadata)) {
        send(body);
        return;
      }
      const { attachments, mentions } = input;
      const message: INewMessage = {
        body,
        ...(attachments.length > 0 && { attachments: [...attachments] }),
        ...(mentions.length > 0 && { mentions: [...mentions] }),
        metadata: { ...metadata }
      };
      input.value = '';
      input.clearAttachments();
      input.clearMentions();
      void this.send(message);
    };
  }

  /** Send a message; resolves once it is on its way. */
  send(message: INewMessage, about?: IAbout): Promise<void> {
    // Asked for now, as the work is now, whatever is sent before it.
    const context = this._options.context(message.body ?? '', about);
    this._last = this._last.then(async () => {
      const to = message.metadata?.['to_persona'] ?? (await this._persona());
      const metadata = {
        ...message.metadata,
        ...(to !== null && { to_persona: to }),
        aidp: await context
      };
      try {
        const id = await this._model.sendMessage({ ...message, metadata });
        if (id !== null) {
          void this._watch(id, message);
        }
      } catch {
        this._putBack(message);
      }
    });
    return this._last;
  }

  private async _persona(): Promise<string | null> {
    await this._model.ready;
    return this._options.persona();
  }

  /** A closed connection swallows what is sent: look whether the message came back. */
  private async _watch(id: string, message: INewMessage): Promise<void> {
    const model = this._model;
    const isThere = () => model.messages.some(one => one.id === id);
    const arrived = await new Promise<boolean>(resolve => {
      const timer = setTimeout(() => done(false), ARRIVES_MS);
      const look = () => isThere() && done(true);
      const gone = () => done(true);
      const done = (found: boolean) => {
        clearTimeout(timer);
        model.messagesUpdated.disconnect(look);
        model.disposed.disconnect(gone);
        resolve(found);
      };
      model.messagesUpdated.connect(look);
      model.disposed.connect(gone);
      look();
    });
    if (!arrived) {
      this._putBack(message);
    }
  }

  private _putBack({ body, attachments, mentions }: INewMessage): void {
    const { input } = this._model;
    input.value = [body, input.value].filter(Boolean).join('\n');
    attachments?.forEach(one => input.addAttachment?.(one));
    mentions?.forEach(one => input.addMention?.(one));
    this._options.lost();
  }

  private _last: Promise<void> = Promise.resolve();
}
