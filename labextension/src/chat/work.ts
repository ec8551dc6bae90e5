import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ISignal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

/** What of a document tells that it is another now. */
interface IDocumentLike {
  readonly context?: {
    readonly path: string;
    readonly model?: { readonly contentChanged?: ISignal<unknown, void> };
  };
  readonly content?: {
    readonly activeCellChanged?: ISignal<unknown, unknown>;
  };
}

/** The path of the document in a widget; null where it is none. */
export function pathIn(widget: Widget | null): string | null {
  return (widget as IDocumentLike | null)?.context?.path ?? null;
}

/** Call back when the document that the user works on is another, or changes. Chats are no work. */
export function watchWork(
  shell: JupyterFrontEnd.IShell,
  isChat: (widget: Widget) => boolean,
  changed: () => void
): void {
  let leave = () => {};
  const follow = () => {
    const widget = shell.currentWidget;
    if (!widget || isChat(widget)) {
      return;
    }
    leave();
    const { context, content } = widget as IDocumentLike;
    const signals = [
      context?.model?.contentChanged,
      content?.activeCellChanged
    ];
    for (const signal of signals) {
      signal?.connect(changed);
    }
    leave = () => {
      for (const signal of signals) {
        signal?.disconnect(changed);
      }
    };
    changed();
  };
  shell.currentChanged?.connect(follow);
  follow();
}

/** What is selected in Lab's file browser: its package is not loaded for the one name. */
export function selectedFile(shell: JupyterFrontEnd.IShell): string | null {
  type Browser = Widget & {
    selectedItems?: () => Iterable<{ path: string; type: string }>;
  };
  for (const side of ['left', 'right', 'main']) {
    for (const widget of shell.widgets(side)) {
      const browser = widget as Browser;
      if (browser.id === 'filebrowser' && browser.selectedItems) {
        for (const { path, type } of browser.selectedItems()) {
          return type === 'directory' ? null : path;
        }
      }
    }
  }
  return null;
}
