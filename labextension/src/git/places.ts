import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { IDocumentWidget } from '@jupyterlab/docregistry';

import { editorOf, notebookOf } from '../ai/panels';

/** A place in a file. Cells and lines are counted from 1. */
export interface IPlace {
  /** Below the workspace. */
  readonly path: string;
  readonly cell?: number | null;
  readonly cell_id?: string | null;
  readonly line?: number | null;
}

/** Show a place in its document, and go there with the keyboard. */
export async function openPlace(
  documents: IDocumentManager,
  { path, cell, cell_id, line }: IPlace
): Promise<void> {
  const widget = documents.openOrReveal(path);
  if (!widget) {
    return;
  }
  await widget.revealed;
  if (widget.isDisposed) {
    return;
  }
  const index = cellIndex(widget, cell_id ?? null, cell ?? null);
  const notebook = notebookOf(widget)?.content;
  if (notebook && index !== null) {
    notebook.deselectAll();
    notebook.activeCellIndex = index;
    notebook.mode = 'command';
    await notebook.scrollToItem(index, 'center');
    const found = notebook.widgets[index];
    await found?.ready;
    if (!notebook.isDisposed && notebook.activeCellIndex === index) {
      (found ?? notebook).node.focus();
      goTo(found?.editor ?? null, line ?? null, false);
    }
  } else if (!notebook) {
    goTo(editorOf(widget), line ?? null, true);
  }
}

/** Which of its cells: by its id, which stays when cells come and go, else by its number. */
function cellIndex(
  widget: IDocumentWidget,
  id: string | null,
  number: number | null
): number | null {
  const cells = notebookOf(widget)?.content.widgets ?? [];
  const byId = id ? cells.findIndex(({ model }) => model.id === id) : -1;
  if (byId >= 0) {
    return byId;
  }
  return number !== null && number >= 1 && number <= cells.length
    ? number - 1
    : null;
}

function goTo(
  editor: ReturnType<typeof editorOf>,
  line: number | null,
  isFocused: boolean
): void {
  if (!editor) {
    return;
  }
  if (line !== null) {
    const at = Math.min(Math.max(line, 1), editor.lineCount) - 1;
    editor.setCursorPosition({ line: at, column: 0 });
    editor.revealPosition({ line: at, column: 0 });
  }
  if (isFocused) {
    editor.focus();
  }
}
