import type { ICellModel, ICodeCellModel } from '@jupyterlab/cells';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { ConsolePanel, IConsoleTracker } from '@jupyterlab/console';
import type { IDocumentWidget } from '@jupyterlab/docregistry';
import type { FileEditor, IEditorTracker } from '@jupyterlab/fileeditor';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { ISessionContext } from '@jupyterlab/apputils';
import type { Widget } from '@lumino/widgets';

import { cut } from './cut';
import { outputsSaid } from './outputs';
import type { ICellSaid, IDocumentSaid, IOpenFileSaid } from './wire';

/** How much is told of one cell, of a whole document, and of another open document. */
const CELL = 8_000;
const DOCUMENT = 400_000;
const OPEN_FILE = 20_000;
const OPEN_FILES = 8;

export interface ITrackers {
  readonly notebooks: INotebookTracker | null;
  readonly editors: IEditorTracker | null;
  readonly consoles: IConsoleTracker | null;
}

export interface IReaderOptions extends ITrackers {
  /** The path of a document below the server's root; empty where there is none. */
  readonly pathOf: (widget: Widget) => string;
  /** The name of a language by its MIME type; empty where nobody knows it. */
  readonly languageOf: (mimeType: string) => string;
}

/** Reads the documents that are open, as they are now. What did not change is not read again. */
export class DocumentReader {
  constructor(private _options: IReaderOptions) {}

  /** Whether a widget is a document that can be read. */
  knows(widget: Widget): boolean {
    const { notebooks, editors, consoles } = this._options;
    return [notebooks, editors, consoles].some(one => one?.has(widget));
  }

  /** A document with its cells; null where the widget is none, or is not loaded yet. */
  document(
    widget: Widget,
    cell = '',
    wanted: readonly string[] = []
  ): IDocumentSaid | null {
    const path = this._options.pathOf(widget);
    const cells = this._models(widget);
    if (!cells) {
      return null;
    }
    const { kind, models, current } = cells;
    const active = models.some(({ id }) => id === cell) ? cell : current;
    return {
      path,
      kind,
      language: this._language(widget),
      cells: bounded(
        models.map(({ id, model }) => this._cell(id, model)),
        [active, ...wanted]
      ),
      active
    };
  }

  /** The other documents that are open, the nearest first. */
  open(except: Widget | null): IOpenFileSaid[] {
    const { notebooks, editors, pathOf } = this._options;
    const seen = new Set([except && pathOf(except), '']);
    const said: IOpenFileSaid[] = [];
    const widgets: Widget[] = [];
    notebooks?.forEach(widget => widgets.push(widget));
    editors?.forEach(widget => widgets.push(widget));
    // What is in view comes before what lies behind a tab.
    widgets.sort((a, b) => Number(b.isVisible) - Number(a.isVisible));
    for (const widget of widgets) {
      const path = pathOf(widget);
      const cells = this._models(widget);
      if (cells && !seen.has(path) && said.length < OPEN_FILES) {
        seen.add(path);
        said.push({
          path,
          text: this._text(cells.models),
          language: this._language(widget)
        });
      }
    }
    return said;
  }

  /** The kernel's session of a document; null where it has none. */
  session(widget: Widget): ISessionContext | null {
    const { notebooks, consoles } = this._options;
    return notebooks?.has(widget) || consoles?.has(widget)
      ? (widget as NotebookPanel | ConsolePanel).sessionContext
      : null;
  }

  private _models(widget: Widget): {
    readonly kind: IDocumentSaid['kind'];
    readonly models: readonly { id: string; model: CodeEditor.IModel }[];
    readonly current: string;
  } | null {
    const { notebooks, editors, consoles } = this._options;
    if (notebooks?.has(widget)) {
      const { content } = widget as NotebookPanel;
      return {
        kind: 'notebook',
        models: content.widgets.map(({ model }) => ({ id: model.id, model })),
        current: content.activeCell?.model.id ?? ''
      };
    }
    if (editors?.has(widget)) {
      const { model } = (widget as IDocumentWidget<FileEditor>).content;
      return { kind: 'file', models: [{ id: 'file', model }], current: 'file' };
    }
    if (consoles?.has(widget)) {
      const { cells, promptCell } = (widget as ConsolePanel).console;
      const models = [...cells, ...(promptCell ? [promptCell] : [])]
        .map(({ model }) => ({ id: model.id, model }))
        // The banner.
        .filter(({ model }) => model.type !== 'raw');
      return { kind: 'console', models, current: promptCell?.model.id ?? '' };
    }
    return null;
  }

  private _language(widget: Widget): string {
    const { notebooks, editors, languageOf } = this._options;
    if (notebooks?.has(widget)) {
      const { content, model } = widget as NotebookPanel;
      return model?.defaultKernelLanguage || languageOf(content.codeMimetype);
    }
    if (editors?.has(widget)) {
      const { model } = (widget as IDocumentWidget<FileEditor>).content;
      return languageOf(model.mimeType);
    }
    const prompt = (widget as ConsolePanel).console.promptCell;
    return languageOf(prompt?.model.mimeType ?? '');
  }

  private _text(models: readonly { model: CodeEditor.IModel }[]): string {
    const sources: string[] = [];
    let room = OPEN_FILE;
    for (const { model } of models) {
      const source = room > 0 ? this._cell('', model).source.trim() : '';
      if (source) {
        sources.push(source);
        room -= source.length;
      }
    }
    return cut(sources.join('\n\n'), OPEN_FILE);
  }

  /** A cell as it was when it last changed. A cell out of view has no editor: its model is read. */
  private _cell(id: string, model: CodeEditor.IModel): ICellSaid {
    const known = this._read.get(model);
    if (known) {
      return known;
    }
    if (!this._watched.has(model)) {
      this._watched.add(model);
      const forget = () => void this._read.delete(model);
      model.sharedModel.changed.connect(forget);
      (model as Partial<ICellModel>).contentChanged?.connect(forget);
    }
    const { type, outputs, executionCount } = model as Partial<ICodeCellModel>;
    const said: ICellSaid = {
      id,
      type: type ?? 'code',
      source: cut(model.sharedModel.getSource(), DOCUMENT),
      count: executionCount ?? null,
      outputs: outputs ? outputsSaid(outputs) : []
    };
    this._read.set(model, said);
    return said;
  }

  private _read = new WeakMap<CodeEditor.IModel, ICellSaid>();
  private _watched = new WeakSet<CodeEditor.IModel>();
}

/**
 * Cells with what there is room for: those that matter whole; of the others the nearest ones, long ones cut. A cell
 * without room keeps its place, so that "cell 12" is the twelfth.
 */
export function bounded(
  cells: readonly ICellSaid[],
  wanted: readonly string[],
  limit = DOCUMENT
): ICellSaid[] {
  const matters = new Set(wanted);
  const size = ({ source, outputs }: ICellSaid) =>
    outputs.reduce((sum, { text }) => sum + text.length, source.length);
  const centre = cells.findIndex(({ id }) => id === wanted[0]);
  const near = (index: number) =>
    matters.has(cells[index]!.id)
      ? -1
      : Math.abs(index - (centre < 0 ? cells.length : centre));
  const order = [...cells.keys()].sort((a, b) => near(a) - near(b));
  const said = [...cells];
  let room = limit;
  for (const index of order) {
    let cell = cells[index]!;
    if (!matters.has(cell.id) && cell.source.length > CELL) {
      cell = { ...cell, source: cut(cell.source, CELL) };
    }
    if (size(cell) > room) {
      cell = { ...cell, outputs: [] };
    }
    if (size(cell) > room) {
      cell = { ...cell, source: '' };
    }
    room -= size(cell);
    said[index] = cell;
  }
  return said;
}
