import type { CodeEditor } from '@jupyterlab/codeeditor';

import type { IPlace, Suggestion } from './suggestion';

interface IListener {
  /** The text in the editor changed. */
  readonly changed: (source: string) => void;
  /** The text no longer follows from the suggestion, or the user went elsewhere. */
  readonly left: () => void;
}

/** The user's stay at one suggestion in one editor. */
export class Stay {
  constructor(
    readonly suggestion: Suggestion,
    readonly editor: CodeEditor.IEditor,
    listener: IListener
  ) {
    suggestion.reached = this.place.prefix.length;
    const { sharedModel, selections } = editor.model;
    const moved = () => {
      // In a change the text comes before the cursor or after it: look when both are there.
      queueMicrotask(() => {
        if (this._isOver) {
          return;
        }
        const { start, end } = editor.getSelection();
        const isCursor = start.line === end.line && start.column === end.column;
        const { place } = this;
        if (isCursor && suggestion.follows(place)) {
          suggestion.reached = place.prefix.length;
        } else {
          listener.left();
        }
      });
    };
    const changed = () => {
      listener.changed(sharedModel.getSource());
      moved();
    };
    const blurred = (event: FocusEvent) => {
      const target = event.relatedTarget as Element | null;
      if (!target?.closest?.('.jp-InlineCompleter')) {
        listener.left();
      }
    };
    const gone = () => listener.left();
    // A cell that is deleted loses no focus in some browsers.
    sharedModel.disposed.connect(gone);
    sharedModel.changed.connect(changed);
    selections.changed.connect(moved);
    editor.host.addEventListener('focusout', blurred);
    this.dispose = () => {
      this._isOver = true;
      sharedModel.disposed.disconnect(gone);
      sharedModel.changed.disconnect(changed);
      selections.changed.disconnect(moved);
      editor.host.removeEventListener('focusout', blurred);
    };
  }

  /** Stop watching. */
  readonly dispose: () => void;

  /** Where the cursor is now. */
  get place(): IPlace {
    const { editor, suggestion } = this;
    if (editor.isDisposed) {
      return { ...suggestion.origin, text: '' };
    }
    const offset = editor.getOffsetAt(editor.getCursorPosition());
    const source = editor.model.sharedModel.getSource();
    return {
      ...suggestion.origin,
      prefix: source.slice(0, offset),
      suffix: source.slice(offset)
    };
  }

  private _isOver = false;
}
