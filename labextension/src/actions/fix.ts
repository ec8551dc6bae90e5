import type { Cell } from '@jupyterlab/cells';
import type { ICodeCellModel } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { attachToCell } from './notebook';
import { shield } from './shield';

/** An error is the last thing that a cell prints, but for what its threads may still have to say. */
const LAST = 5;

/** Puts a button below the traceback of each cell that failed, for as long as that is there. */
export function watchFailures(
  tracker: INotebookTracker,
  trans: TranslationBundle,
  fix: (panel: NotebookPanel, cell: string) => void
): void {
  const watched = new WeakSet<Cell>();
  const watch = (panel: NotebookPanel, cell: Cell) => {
    const model = cell.model as Partial<ICodeCellModel>;
    if (!model.outputs || watched.has(cell)) {
      return;
    }
    watched.add(cell);
    let button: FixButton | null = null;
    const look = () => {
      const hasFailed = failed(cell);
      if (hasFailed && !button) {
        button = new FixButton(trans, () => fix(panel, cell.model.id));
        attachToCell(button, cell);
      } else if (!hasFailed && button) {
        button.dispose();
        button = null;
      }
    };
    model.outputs.changed.connect(look);
    cell.disposed.connect(() => model.outputs?.changed.disconnect(look));
    look();
  };
  const read = (panel: NotebookPanel) => {
    const { content } = panel;
    content.widgets.forEach(cell => watch(panel, cell));
    // After the notebook, which has made the cells by then.
    content.model?.cells.changed.connect((_, { newIndex, newValues }) => {
      content.widgets
        .slice(newIndex, newIndex + newValues.length)
        .forEach(cell => watch(panel, cell));
    });
  };
  const added = (panel: NotebookPanel) => {
    panel.content.modelChanged.connect(() => read(panel));
    read(panel);
  };
  tracker.forEach(added);
  tracker.widgetAdded.connect((_, panel) => added(panel));
}

/** Whether what a cell printed ends in an error. */
export function failed({ model }: Cell): boolean {
  const { outputs } = model as Partial<ICodeCellModel>;
  const length = outputs?.length ?? 0;
  for (let i = length - 1; i >= Math.max(0, length - LAST); i--) {
    if (outputs!.get(i).type === 'error') {
      return true;
    }
  }
  return false;
}

/** One click asks how to mend a cell. */
class FixButton extends Widget {
  constructor(trans: TranslationBundle, fix: () => void) {
    super();
    this.addClass('jp-AidpFix');
    this._button.type = 'button';
    this._button.className = 'jp-AidpButton';
    this._button.textContent = trans.__('Fix');
    this._button.title = trans.__('Ask AI how to fix this error');
    this._button.setAttribute('aria-label', this._button.title);
    this._button.addEventListener('click', fix);
    this.node.append(this._button);
    shield(this.node);
  }

  private _button = document.createElement('button');
}
