import type { IDisposable } from '@lumino/disposable';
import type { Widget } from '@lumino/widgets';

import type { Undo } from './files';
import type { IHunk } from './hunks';
import type { ISelection } from './wire';

/** What becomes of one text of a document. */
export interface IReplacement {
  readonly cell: string;
  readonly hunks: readonly IHunk[];
}

/** A cell to be. */
export interface IInsertion {
  /** The cell beside which it comes. */
  readonly cell: string;
  readonly where: 'insert_below' | 'insert_above';
  readonly type: 'code' | 'markdown';
  readonly source: string;
}

/** What was written into a document. */
export interface IWrittenCells {
  /** The ids of what can be run of it, in their order. */
  readonly cells: readonly string[];
  readonly undo: Undo;
}

/** An open document in which something is asked and changed. Its texts are its cells; a file is one text. */
export interface ISite {
  readonly widget: Widget;
  /** What it holds is there: at first a document is empty. */
  readonly isReady: boolean;
  readonly ready: Promise<void>;
  /** Below the server's root. */
  readonly path: string;
  /** A text of it as it is now; null where it is gone. */
  source(cell: string): string | null;
  /** What to call a cell: its number; empty for a file. */
  label(cell: string): string;
  canWrite(cell: string): boolean;
  /** Which part of a text is selected, in Unicode code points; null where none is. */
  selection(cell: string): ISelection | null;
  mimeType(cell: string): string;
  /** Of new code cells. */
  readonly codeMimeType: string;
  isCode(cell: string): boolean;
  /** The user's editor theme. */
  readonly theme: string;
  /** Some text of it may have changed, or is gone. */
  watch(cells: readonly string[], changed: () => void): IDisposable;
  /** Change each text in one step that one undo takes back. */
  write(
    replacements: readonly IReplacement[],
    insertions: readonly IInsertion[]
  ): IWrittenCells;
  /** Run cells; there is nothing to run in a file. */
  run(cells: readonly string[]): Promise<void>;
  readonly canRun: boolean;
  /** Show something below a text, for as long as that is there. */
  attach(frame: Widget, cell: string): void;
  /** Go back to a text. */
  focus(cell: string): void;
}
