import { Token } from '@lumino/coreutils';
import type { Widget } from '@lumino/widgets';

/** How a question is asked in the chat. */
export interface IAskOptions {
  /** The document that it is about; by default the one that the user was in last. */
  readonly widget?: Widget | null;
  /** The id of the cell that it is about; by default the active one. */
  readonly cell?: string;
  /** A new chat with this name; by default the chat that is open, or else a new one. */
  readonly name?: string;
  /** Send it at once (the default), or leave it in the input for the user to go on with. */
  readonly autoSend?: boolean;
}

/** Asks in the chat beside the user's work. */
export interface IAiChat {
  /** Whether this Lab has a chat to ask in. */
  readonly isAvailable: boolean;
  /** Show the chat and ask. Resolves once the question is on its way; rejects with words for the user. */
  ask(body: string, options?: IAskOptions): Promise<void>;
}

export const IAiChat = new Token<IAiChat>(
  'aidp-ext:IAiChat',
  'Asks a question in the chat beside the work.'
);

export const ChatCommandIDs = {
  ask: 'aidp:ask',
  open: 'aidp:open-chat',
  askAboutFile: 'aidp:ask-about-file',
  search: 'aidp:search-chats',
  toggleContext: 'aidp:toggle-chat-context'
} as const;
