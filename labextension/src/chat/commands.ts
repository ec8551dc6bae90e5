import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';

import { NO_ARGUMENTS } from '../ai/services';
import type { ChatDesk } from './desk';
import { ChatCommandIDs } from './tokens';
import { pathIn, selectedFile } from './work';

export interface ICommandOptions {
  readonly app: JupyterFrontEnd;
  /** Do something that may fail, and say so where it does. */
  readonly attempt: (work: Promise<void>) => Promise<void>;
  readonly desk: ChatDesk;
  readonly isChat: (widget: Widget) => boolean;
  readonly palette: ICommandPalette | null;
  readonly search: () => void;
  readonly toggleContext: () => void;
  readonly trans: TranslationBundle;
}

/** What can be done with the chat from anywhere in Lab. */
export function addCommands(options: ICommandOptions): void {
  const { app, attempt, desk, isChat, palette, trans } = options;
  const { commands, shell } = app;

  /** The file that a command is about, by where it was given. */
  const pathAsked = (from: unknown, path: unknown): string | null => {
    if (typeof path === 'string' && path) {
      return path;
    }
    if (from === 'browser') {
      return selectedFile(shell);
    }
    const { currentWidget } = shell;
    if (from === 'tab') {
      const tab = app.contextMenuHitTest(
        ({ dataset }) => dataset['type'] === 'document-title'
      );
      const title = tab?.dataset['id'];
      const widgets = [...shell.widgets('main')];
      return pathIn(widgets.find(({ id }) => id === title) ?? currentWidget);
    }
    return currentWidget && !isChat(currentWidget)
      ? pathIn(currentWidget)
      : null;
  };

  commands.addCommand(ChatCommandIDs.open, {
    label: trans.__('Open AI Chat'),
    describedBy: NO_ARGUMENTS,
    execute: () => attempt(desk.show())
  });
  commands.addCommand(ChatCommandIDs.search, {
    label: trans.__('Search Chats'),
    describedBy: NO_ARGUMENTS,
    execute: () => options.search()
  });
  commands.addCommand(ChatCommandIDs.toggleContext, {
    label: trans.__('Tell the Chat of the Open Document, or Not'),
    describedBy: NO_ARGUMENTS,
    execute: () => options.toggleContext()
  });
  commands.addCommand(ChatCommandIDs.ask, {
    label: trans.__('Ask in the AI Chat'),
    describedBy: {
      args: {
        type: 'object',
        properties: {
          body: {
            type: 'string',
            description: trans.__('The question')
          },
          cell: {
            type: 'string',
            description: trans.__('The id of the cell that it is about')
          },
          name: {
            type: 'string',
            description: trans.__('The name of a new chat to ask in')
          },
          autoSend: {
            type: 'boolean',
            description: trans.__('Whether to send it at once')
          }
        },
        required: ['body']
      }
    },
    execute: ({ body, cell, name, autoSend }) =>
      attempt(
        desk.ask(String(body), {
          ...(typeof cell === 'string' && { cell }),
          ...(typeof name === 'string' && { name }),
          autoSend: autoSend !== false
        })
      )
  });
  commands.addCommand(ChatCommandIDs.askAboutFile, {
    label: trans.__('Ask AI About This File'),
    isEnabled: ({ from, path }) => !!from || pathAsked(from, path) !== null,
    describedBy: {
      args: {
        type: 'object',
        properties: {
          path: {
            type: 'string',
            description: trans.__('The file; by default the open one')
          },
          from: {
            type: 'string',
            enum: ['browser', 'tab'],
            description: trans.__('The menu in which it was chosen')
          }
        }
      }
    },
    execute: ({ from, path }) => {
      const about = pathAsked(from, path);
      return about === null ? undefined : attempt(desk.attach(about));
    }
  });
  for (const command of [
    ChatCommandIDs.open,
    ChatCommandIDs.askAboutFile,
    ChatCommandIDs.search,
    ChatCommandIDs.toggleContext
  ]) {
    palette?.addItem({ command, category: trans.__('AI') });
  }
}
