/**
 * What is used of the packages of Jupyter's chat. They come with extensions of their own, which may be absent: nothing
 * of them is imported when the page loads, only their tokens are, later, where they are there.
 */

declare module '@jupyter/chat' {
  import type { IWidgetTracker } from '@jupyterlab/apputils';
  import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
  import type { ReactWidget } from '@jupyterlab/ui-components';
  import type { Token } from '@lumino/coreutils';
  import type { IDisposable } from '@lumino/disposable';
  import type { ISignal } from '@lumino/signaling';
  import type { Widget } from '@lumino/widgets';
  import type * as React from 'react';

  export interface IUser {
    readonly username: string;
    readonly display_name?: string;
    readonly name?: string;
    readonly avatar_url?: string;
    readonly bot?: boolean;
  }

  export type IAttachment =
    | { readonly type: 'file'; readonly value: string }
    | {
        readonly type: 'notebook';
        readonly value: string;
        readonly cells?: readonly {
          readonly id: string;
          readonly input_type: 'raw' | 'markdown' | 'code';
        }[];
      };

  export type IMessageMetadata = Readonly<Record<string, unknown>>;

  export interface INewMessage {
    readonly body?: string;
    readonly attachments?: readonly IAttachment[];
    readonly mentions?: readonly IUser[];
    readonly metadata?: IMessageMetadata;
  }

  export interface IMessageContent {
    readonly id: string;
    readonly body: string;
    /** In seconds since 1970. */
    readonly time: number;
    readonly sender: IUser;
    readonly attachments?: readonly IAttachment[];
    readonly mentions?: readonly IUser[];
    readonly deleted?: boolean;
    readonly metadata?: IMessageMetadata;
  }

  export interface IMessage extends IMessageContent {
    readonly renderedDelegate: { readonly promise: Promise<void> };
    update(changed: Partial<IMessageContent>): void;
  }

  /** The chat as its input knows it. */
  export interface IChatContext {
    readonly id: string;
  }

  export interface IInputModel extends IDisposable {
    readonly chatContext?: IChatContext;
    readonly currentWord: string | null;
    readonly attachments: readonly IAttachment[];
    readonly mentions: readonly IUser[];
    readonly valueChanged: ISignal<IInputModel, string>;
    value: string;
    send: (body: string) => void;
    addAttachment?(attachment: IAttachment): void;
    clearAttachments(): void;
    addMention?(user: IUser): void;
    clearMentions(): void;
    focus(): void;
    getMetadata(): IMessageMetadata;
  }

  export interface IWriter {
    readonly user: IUser;
  }

  export interface IChatModel extends IDisposable {
    readonly id?: string;
    /** The path of its file. */
    readonly name: string;
    /** With its id. */
    readonly ready: Promise<string>;
    readonly input: IInputModel;
    readonly messages: readonly IMessage[];
    readonly user?: IUser;
    readonly writers: readonly IWriter[];
    readonly disposed: ISignal<IChatModel, void>;
    readonly messageChanged: ISignal<IChatModel, IMessage>;
    readonly messagesUpdated: ISignal<IChatModel, void>;
    readonly writersChanged?: ISignal<IChatModel, readonly IWriter[]>;
    sendMessage(message: INewMessage): Promise<string | null> | string | null;
    /** Called with each message before it is shown. */
    formatChatMessage: (message: IMessageContent) => IMessageContent;
  }

  export interface IInputToolbarProps {
    readonly model: IInputModel;
    readonly chatModel?: IChatModel;
    /** An earlier message is being edited. */
    readonly edit?: boolean;
  }

  export interface IInputToolbarRegistry {
    get(name: string): unknown;
    addItem(
      name: string,
      item: {
        readonly element: React.FunctionComponent<IInputToolbarProps>;
        readonly position: number;
      }
    ): void;
  }

  export interface IChatBodyPlaceholderFactory {
    create(props: {
      readonly onSend: (body: string) => void;
    }): React.ReactElement | null;
  }

  export interface IChatWidget extends ReactWidget {
    readonly model: IChatModel;
    readonly inputToolbarRegistry?: IInputToolbarRegistry;
    /** Its own, and the only way to what one chat draws with. */
    readonly _chatOptions?: {
      readonly rmRegistry: IRenderMimeRegistry;
      readonly chatBodyPlaceholderFactory?: IChatBodyPlaceholderFactory;
    };
  }

  export interface IChatPanel extends Widget {
    readonly widget: IChatWidget;
    readonly model: IChatModel;
    readonly area: 'sidebar' | 'main';
  }

  export type IChatTracker = IWidgetTracker<IChatPanel>;
  export const IChatTracker: Token<IChatTracker>;

  export interface IMessageFooterRegistry {
    addSection(section: {
      readonly component: React.FC<{
        readonly model: IChatModel;
        readonly message: IMessageContent;
      }>;
      readonly position: 'left' | 'center' | 'right';
    }): void;
  }
  export const IMessageFooterRegistry: Token<IMessageFooterRegistry>;

  export interface IChatCommand {
    readonly name: string;
    readonly providerId: string;
    readonly description?: string;
    readonly replaceWith?: string;
    readonly spaceOnAccept?: boolean;
  }

  export interface IChatCommandProvider {
    readonly id: string;
    listCommandCompletions(input: IInputModel): Promise<IChatCommand[]>;
    onSubmit(input: IInputModel): Promise<void>;
  }

  export interface IChatCommandRegistry {
    addProvider(provider: IChatCommandProvider): void;
  }
  export const IChatCommandRegistry: Token<IChatCommandRegistry>;
}

declare module 'jupyterlab-chat' {
  import type { IChatPanel } from '@jupyter/chat';
  import type { Toolbar } from '@jupyterlab/ui-components';
  import type { Token } from '@lumino/coreutils';
  import type { ISignal } from '@lumino/signaling';
  import type { Widget } from '@lumino/widgets';

  export interface IMultiChatPanel extends Widget {
    readonly toolbar: Toolbar;
    /** The chat that is open in it. */
    readonly current: IChatPanel | undefined;
    /** Emitted at once, with the chat that it shows from now on. */
    readonly chatOpened: ISignal<IMultiChatPanel, IChatPanel>;
    readonly visibilityChanged: ISignal<IMultiChatPanel, boolean>;
  }
  export const IMultiChatPanel: Token<IMultiChatPanel>;
}

declare module '@jupyter-ai/persona-manager' {
  import type { Token } from '@lumino/coreutils';
  import type { ISignal } from '@lumino/signaling';

  /** The personas of one chat, as the server has told of them. */
  export interface IPersonaSession {
    readonly changed: ISignal<IPersonaSession, void>;
    readonly ready: boolean;
    readonly personas: readonly { readonly id: string }[];
  }

  export interface IPersonaSessionRegistry {
    get(chatId: string): IPersonaSession;
  }
  export const IPersonaSessionRegistry: Token<IPersonaSessionRegistry>;
}
