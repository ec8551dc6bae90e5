/** Changes of shared texts, each a step that one undo takes back. */
import type { CodeEditor } from '@jupyterlab/codeeditor';

import type { IEdit } from './hunks';
import { edits, inverse } from './hunks';
import { keepOnce } from './once';
import type { IReplacement } from './site';

type ISource = CodeEditor.IModel['sharedModel'];

/** Takes hunks back, in one step. */
export interface ITakeBack {
  /** Whether a text is as it was written. */
  fits(source: ISource): boolean;
  undo(source: ISource): void;
}

/** Put hunks into a text, in one step. */
export function writeHunks(
  source: ISource,
  hunks: IReplacement['hunks']
): ITakeBack {
  const before = source.getSource();
  const todo = edits(before, hunks);
  put(source, todo);
  const after = source.getSource();
  const undo = inverse(before, todo);
  keepOnce(
    source,
    undo.map(({ start, end }) => ({ start, text: after.slice(start, end) }))
  );
  return {
    fits: source => source.getSource() === after,
    undo: source => put(source, undo)
  };
}

function put(source: ISource, todo: readonly IEdit[]): void {
  inOneStep(source, () => {
    for (const { start, end, text } of [...todo].reverse()) {
      source.updateSource(start, end, text);
    }
  });
}

/** A change that one undo takes back, and nothing else: not what was typed just before or comes just after. */
export function inOneStep(
  model: {
    transact(change: () => void): void;
    // Not in the interface of the models, but in all of them.
    readonly undoManager?: { stopCapturing(): void } | null;
  },
  change: () => void
): void {
  model.undoManager?.stopCapturing();
  model.transact(change);
  model.undoManager?.stopCapturing();
}
