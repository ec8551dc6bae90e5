import type { ICompletionContext } from '@jupyterlab/completer';
import type { Notebook } from '@jupyterlab/notebook';
import { NotebookPanel } from '@jupyterlab/notebook';

import type { ISurroundings } from './completion';
import { cellsAsContext } from './text';

/**
 * What a notebook knows beyond the cell being written: its kind and the code cells before it.
 *
 * Gathered once per cell entered, not at each key: while one cell is written the ones before it rest.
 */
export function createSurroundings(
  pathOf: (widget: unknown) => string
): (
  context: Pick<ICompletionContext, 'widget'>,
  limit: number
) => ISurroundings {
  let entered: Notebook['activeCell'] = null;
  let enteredLimit = 0;
  let before = '';
  return ({ widget }, limit) => {
    const path = pathOf(widget);
    if (!(widget instanceof NotebookPanel)) {
      return { isCode: true, before: '', path };
    }
    const { activeCell, activeCellIndex, widgets } = widget.content;
    if (activeCell !== entered || limit !== enteredLimit) {
      entered = activeCell;
      enteredLimit = limit;
      const sources = widgets
        .slice(0, activeCellIndex)
        .filter(cell => cell.model.type === 'code')
        .map(cell => cell.model.sharedModel.getSource());
      before = cellsAsContext(sources, limit);
    }
    return { isCode: activeCell?.model.type === 'code', before, path };
  };
}
