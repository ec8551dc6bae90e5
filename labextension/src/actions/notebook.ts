import type {
  ISessionContextDialogs,
  SessionContext
} from '@jupyterlab/apputils';
import type { Cell } from '@jupyterlab/cells';
import type { CodeMirrorEditor } from '@jupyterlab/codemirror';
import { Text } from '@jupyterlab/coreutils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { NotebookActions } from '@jupyterlab/notebook';
import type { ITranslator } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import { DisposableDelegate } from '@lumino/disposable';
import type { PanelLayout, Widget } from '@lumino/widgets';

import { deleteCells, isSame, keepCellsOnce } from './once';
import type { IInsertion, IReplacement, ISite, IWrittenCells } from './site';
import type { ITakeBack } from './steps';
import { inOneStep, writeHunks } from './steps';
import type { ISelection } from './wire';

type ISharedCell = NonNullable<
  NotebookPanel['model']
>['sharedModel']['cells'][number];

/** A notebook that is open. */
export class NotebookSite implements ISite {
  constructor(
    readonly widget: NotebookPanel,
    readonly path: string,
    private _dialogs: ISessionContextDialogs | null,
    private _translator: ITranslator | null
  ) {}

  readonly canRun = true;

  get isReady(): boolean {
    return this.widget.context.isReady;
  }

  get ready(): Promise<void> {
    return this.widget.context.ready;
  }

  get theme(): string {
    const { editor } = this.widget.content.activeCell ?? {};
    return String(
      (editor as CodeMirrorEditor | null | undefined)?.getOption?.('theme') ??
        ''
    );
  }

  source(cell: string): string | null {
    return this._shared(cell)?.getSource() ?? null;
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
      this._shared(cell)?.getMetadata('editable') !== false
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
    let sources: ISharedCell[] = [];
    const leave = () =>
      sources.forEach(source => source.changed.disconnect(changed));
    const look = () => {
      leave();
      sources = cells.flatMap(cell => this._shared(cell) ?? []);
      sources.forEach(source => source.changed.connect(changed));
    };
    // A cell that is moved is another one with the same id.
    const relook = () => {
      look();
      changed();
    };
    const list = this.widget.content.model?.cells;
    list?.changed.connect(relook);
    look();
    return new DisposableDelegate(() => {
      leave();
      list?.changed.disconnect(relook);
    });
  }

  write(
    replacements: readonly IReplacement[],
    insertions: readonly IInsertion[]
  ): IWrittenCells {
    const shared = this.widget.content.model!.sharedModel;
    const touched: string[] = [];
    const replaced = new Map<string, ITakeBack>();
    let made = new Map<string, string>();
    // Where each cell has an undo of its own, each is a step; else all of it is one.
    const together = (change: () => void) =>
      shared.disableDocumentWideUndoRedo ? change() : inOneStep(shared, change);
    together(() => {
      for (const { cell, hunks } of replacements) {
        replaced.set(cell, writeHunks(this._shared(cell)!, hunks));
      }
      made = this._insert(insertions);
    });
    touched.push(...replaced.keys(), ...made.keys());
    const order = shared.cells.map(({ id }) => id);
    return {
      cells: touched
        .filter(id => this._shared(id)?.cell_type !== 'raw')
        .sort((a, b) => order.indexOf(a) - order.indexOf(b)),
      undo: () => {
        const isThere =
          [...replaced].every(([cell, { fits }]) => {
            const source = this._shared(cell);
            return source && fits(source);
          }) &&
          [...made].every(([cell, source]) => this.source(cell) === source);
        if (isThere) {
          together(() => {
            replaced.forEach(({ undo }, cell) => undo(this._shared(cell)!));
            this._take([...made.keys()]);
          });
        }
        return isThere;
      }
    };
  }

  /** Returns the new cells' sources by their ids. */
  private _insert(insertions: readonly IInsertion[]): Map<string, string> {
    const shared = this.widget.content.model!.sharedModel;
    const ids = new Map<string, string>();
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
          const beside = shared.cells[where === 'insert_above' ? at - 1 : at];
          const it = { cell_type: type, getSource: () => source };
          if (beside && isSame(beside, it)) {
            continue; // somebody else was faster
          }
          const made = shared.insertCells(at, [
            { cell_type: type, source, metadata: {} }
          ]);
          ids.set(made[0]!.id, source);
        }
      });
      keepCellsOnce(shared, new Set(ids.keys()));
    }
    return ids;
  }

  private _take(cells: readonly string[]): void {
    const shared = this.widget.content.model!.sharedModel;
    inOneStep(shared, () => deleteCells(shared, cells));
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
    attachToCell(frame, found, () => {
      // One that is moved is taken away and put back, as another one with the same id.
      (found.layout as PanelLayout).removeWidget(frame);
      queueMicrotask(() => {
        if (!frame.isDisposed) {
          this.attach(frame, cell);
        }
      });
    });
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

  /** A cell's text, whether the cell is drawn or not. */
  private _shared(id: string): ISharedCell | undefined {
    return this.widget.isDisposed
      ? undefined
      : this.widget.content.model?.sharedModel.cells.find(
          cell => cell.id === id
        );
  }

  private _cell(id: string): Cell | undefined {
    return this.widget.isDisposed
      ? undefined
      : this.widget.content.widgets.find(({ model }) => model.id === id);
  }
}

/** Put a widget below a cell's input and output, now or once the cell is drawn; it goes with the cell by default. */
export function attachToCell(
  widget: Widget,
  cell: Cell,
  gone: () => void = () => widget.dispose()
): void {
  const add = () => {
    if (!cell.isDisposed && !widget.isDisposed) {
      const layout = cell.layout as PanelLayout;
      // The last one is the footer.
      layout.insertWidget(layout.widgets.length - 1, widget);
    }
  };
  cell.disposed.connect(gone);
  if (cell.isPlaceholder()) {
    void cell.ready.then(add);
  } else {
    add();
  }
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
