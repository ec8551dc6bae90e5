import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { ConsolePanel } from '@jupyterlab/console';
import type { NotebookPanel } from '@jupyterlab/notebook';

/** A widget as a notebook; null where it is none. Without loading the package for the name alone. */
export function notebookOf(widget: unknown): NotebookPanel | null {
  const { content } = (widget ?? {}) as { content?: object };
  return content && 'activeCellIndex' in content
    ? (widget as NotebookPanel)
    : null;
}

/** The console in a widget; null where there is none. */
export function consoleOf(widget: unknown): ConsolePanel['console'] | null {
  const { console: found } = (widget ?? {}) as Partial<ConsolePanel>;
  return found && 'promptCell' in found ? found : null;
}

/** The editor that the user writes in; null where there is none. */
export function editorOf(widget: unknown): CodeEditor.IEditor | null {
  const cell =
    notebookOf(widget)?.content.activeCell ?? consoleOf(widget)?.promptCell;
  const { content } = (widget ?? {}) as {
    content?: { editor?: CodeEditor.IEditor };
  };
  return cell?.editor ?? content?.editor ?? null;
}
