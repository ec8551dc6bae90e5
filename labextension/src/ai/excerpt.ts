import type { CodeEditor } from '@jupyterlab/codeeditor';
import { NotebookPanel } from '@jupyterlab/notebook';
import type { Contents } from '@jupyterlab/services';

/** A text of the user's, and the file that it stands in. */
export interface IExcerpt {
  readonly text: string;
  readonly path: string;
}

/** The path of the document in a widget below the server's root; empty where there is none. */
export function documentPath(
  widget: unknown,
  contents: Pick<Contents.IManager, 'localPath'>
): string {
  const { context } = (widget ?? {}) as { context?: { path?: unknown } };
  const path = context?.path;
  return typeof path === 'string' ? contents.localPath(path) : '';
}

/** What is selected in a document, or else its current cell, or all of a file; null where there is no text. */
export function excerpt(
  widget: unknown,
  contents: Pick<Contents.IManager, 'localPath'>
): IExcerpt | null {
  const path = documentPath(widget, contents);
  if (widget instanceof NotebookPanel) {
    const { activeCell } = widget.content;
    if (!activeCell) {
      return null;
    }
    const { editor, model } = activeCell;
    // A cell out of sight has no editor.
    const text = editor ? selected(editor) : model.sharedModel.getSource();
    return { text, path };
  }
  // A file editor, without loading its package for the name alone.
  const { content } = (widget ?? {}) as {
    content?: { editor?: Partial<CodeEditor.IEditor> };
  };
  return content?.editor?.getSelection
    ? { text: selected(content.editor as CodeEditor.IEditor), path }
    : null;
}

function selected(editor: CodeEditor.IEditor): string {
  const source = editor.model.sharedModel.getSource();
  const { start, end } = editor.getSelection();
  const [from, to] = [editor.getOffsetAt(start), editor.getOffsetAt(end)];
  return source.slice(Math.min(from, to), Math.max(from, to)) || source;
}
