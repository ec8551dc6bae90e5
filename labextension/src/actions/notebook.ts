import type {
  ISessionContextDialogs,
  SessionContext
} from '@jupyterlab/apputils';
import type { Cell } from '@jupyterlab/cells';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { CodeMirrorEditor } from '@jupyterlab/codemirror';
import { Text } from '@jupyterlab/coreutils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { NotebookActions } from '@jupyterlab/notebook';
import type { ITranslator } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import { DisposableDelegate } from '@lumino/disposable';
import type { PanelLayout, Widget } from '@lumino/widgets';

import { edits } from './hunks';
import type { IInsertion, IReplacement, ISite } from './site';
import type { ISelection } from './wire';

/** A notebook that is open. */
export class NotebookSite implements ISite {
  constructor(
    readonly widget: NotebookPanel,
    readonly path: string,
    private _dialogs: ISessionContextDialogs | null,
    private _translator: ITranslator | null
  ) {}

  readonly canRun = true;

  get closed(): Widget['disposed'] {
    return this.widget.disposed;
  }

  get theme(): string {
    const { editor } = this.widget.content.activeCell ?? {};
    return String(
      (editor as CodeMirrorEditor | null | undefined)?.getOption?.('theme') ??
        ''
    );
  }

  source(cell: string): string | null {
    return this._cell(cell)?.model.sharedModel.getSource() ?? null;
  }

  label(cell: string): string {
    const index = this.widget.content.widgets.findIndex(
      ({ model }) => model.id === cell
    );
    return index < 0 ? '' : String(index + 1);
  }

  canWrite(cell: string): boolean {
    const { isDisposed, content } = this.widget;
    return (
      !isDisposed &&
      !content.model?.readOnly &&
      this._cell(cell)?.model.getMetadata('editable') !== false
    );
  }

  selection(cell: string): ISelection | null {
    return selectionOf(this._cell(cell)?.editor);
  }

  mimeType(cell: string): string {
    return this._cell(cell)?.model.mimeType ?? this.widget.content.codeMimetype;
  }

  get codeMimeType(): string {
    return this.widget.content.codeMimetype;
  }

  isCode(cell: string): boolean {
    return this._cell(cell)?.model.type === 'code';
  }

  watch(cells: readonly string[], changed: () => void): IDisposable {
    const sources = cells.flatMap(
      cell => this._cell(cell)?.model.sharedModel ?? []
    );
    const list = this.widget.content.model?.cells;
    for (const source of sources) {
      source.changed.connect(changed);
    }
    list?.changed.connect(changed);
    return new DisposableDelegate(() => {
      for (const source of sources) {
        source.changed.disconnect(changed);
      }
      list?.changed.disconnect(changed);
    });
  }

  write(
    replacements: readonly IReplacement[],
    insertions: readonly IInsertion[]
  ): string[] {
    const touched: string[] = [];
    for (const { cell, hunks } of replacements) {
      const found = this._cell(cell)!;
      writeHunks(found.model.sharedModel, hunks);
      touched.push(cell);
    }
    const shared = this.widget.content.model!.sharedModel;
    const [above, below] = [[], []] as [IInsertion[], IInsertion[]];
    for (const insertion of insertions) {
      (insertion.where === 'insert_above' ? above : below).push(insertion);
    }
    if (insertions.length > 0) {
      inOneStep(shared, () => {
        // Those below a cell from the last one, so that they stay in their order.
        for (const insertion of [...above, ...below.reverse()]) {
          const { cell, where, type, source } = insertion;
          const is = shared.cells.findIndex(({ id }) => id === cell);
          const end = is < 0 ? shared.cells.length : is + 1;
          const at = where === 'insert_above' ? Math.max(is, 0) : end;
          const made = shared.insertCells(at, [
            { cell_type: type, source, metadata: {} }
          ]);
          touched.push(made[0]!.id);
        }
      });
    }
    const order = shared.cells.map(({ id }) => id);
    return touched
      .filter(id => this._cell(id)?.model.type !== 'raw')
      .sort((a, b) => order.indexOf(a) - order.indexOf(b));
  }

  async run(cells: readonly string[]): Promise<void> {
    const { content, sessionContext } = this.widget;
    await NotebookActions.runCells(
      content,
      cells.flatMap(cell => this._cell(cell) ?? []),
      sessionContext as SessionContext,
      this._dialogs ?? undefined,
      this._translator ?? undefined
    );
  }

  /** In the cell's own layout: it comes and goes with the cell, however the notebook is scrolled. */
  attach(frame: Widget, cell: string): void {
    const found = this._cell(cell);
    if (!found) {
      frame.dispose();
      return;
    }
    attachToCell(frame, found);
  }

  focus(cell: string): void {
    const { content } = this.widget;
    const index = content.widgets.findIndex(({ model }) => model.id === cell);
    if (index >= 0 && !content.isDisposed) {
      content.activeCellIndex = index;
      content.mode = 'command';
      void NotebookActions.focusActiveCell(content);
    }
  }

  private _cell(id: string): Cell | undefined {
    return this.widget.isDisposed
      ? undefined
      : this.widget.content.widgets.find(({ model }) => model.id === id);
  }
}

/** Put a widget below a cell's input and output, now or once the cell is drawn. */
export function attachToCell(widget: Widget, cell: Cell): void {
  const add = () => {
    if (!cell.isDisposed && !widget.isDisposed) {
      const layout = cell.layout as PanelLayout;
      // The last one is the footer.
      layout.insertWidget(layout.widgets.length - 1, widget);
    }
  };
  cell.disposed.connect(() => widget.dispose());
  if (cell.isPlaceholder()) {
    void cell.ready.then(add);
  } else {
    add();
  }
}

/** Put hunks into a text, in one step. */
export function writeHunks(
  source: CodeEditor.IModel['sharedModel'],
  hunks: IReplacement['hunks']
): void {
  const todo = edits(source.getSource(), hunks).reverse();
  inOneStep(source, () => {
    for (const { start, end, text } of todo) {
      source.updateSource(start, end, text);
    }
  });
}

/** A change that one undo takes back, and nothing else: not what was typed just before or comes just after. */
function inOneStep(
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

/** What is selected in an editor, in Unicode code points; null where nothing is. */
export function selectionOf(
  editor: Cell['editor'] | undefined
): ISelection | null {
  if (!editor) {
    return null;
  }
  const source = editor.model.sharedModel.getSource();
  const { start, end } = editor.getSelection();
  const offsets = [editor.getOffsetAt(start), editor.getOffsetAt(end)];
  const [from, to] = offsets.sort((a, b) => a - b) as [number, number];
  return from === to
    ? null
    : {
        start: Text.jsIndexToCharIndex(from, source),
        end: Text.jsIndexToCharIndex(to, source)
      };
}
