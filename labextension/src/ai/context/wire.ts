/** What the server is told of the user's work, as it is now, saved or not. Its twin: aidp_ext/ai/context/wire.py. */

/** One output of a cell, in text; images and the like are named, not sent. */
export interface IOutputSaid {
  readonly kind: 'text' | 'error' | 'table' | 'image' | 'other';
  readonly text: string;
}

/** One cell. A file and a console's input are one code cell. */
export interface ICellSaid {
  readonly id: string;
  readonly type: 'code' | 'markdown' | 'raw';
  readonly source: string;
  readonly count: number | null;
  readonly outputs: readonly IOutputSaid[];
}

/** The document that is worked on. */
export interface IDocumentSaid {
  /** Below the server's root; empty where there is none. */
  readonly path: string;
  readonly kind: 'notebook' | 'file' | 'console';
  readonly language: string;
  readonly cells: readonly ICellSaid[];
  /** The id of the cell that it is about. */
  readonly active: string;
}

export interface IColumnSaid {
  readonly name: string;
  readonly dtype: string;
}

/** A variable of the kernel; `value` is there only where the user allows values. */
export interface IVariableSaid {
  readonly name: string;
  readonly type: string;
  readonly shape?: readonly number[] | null;
  readonly columns?: readonly IColumnSaid[] | null;
  /** How many columns are not listed. */
  readonly more_columns?: number;
  readonly dtype?: string | null;
  readonly length?: number | null;
  readonly signature?: string | null;
  readonly value?: string | null;
}

/** What the kernel holds, as of `taken_at`; the user has allowed that it is told. */
export interface IKernelSaid {
  readonly language: string;
  readonly state: 'idle' | 'busy' | 'dead' | 'none';
  readonly taken_at: string | null;
  readonly variables: readonly IVariableSaid[];
  readonly allows_values: boolean;
}

/** Another document that is open in the editor. */
export interface IOpenFileSaid {
  readonly path: string;
  readonly text: string;
  readonly language: string;
}

/** What is worked on, and what the context is for. */
export interface IContextQuestion {
  readonly task: string;
  readonly document: IDocumentSaid | null;
  readonly kernel: IKernelSaid | null;
  readonly open: readonly IOpenFileSaid[];
  /** The user's words, or the text around the cursor. */
  readonly query: string;
  /** `file:prep.py`, `cell:<id>`, `df:people`, `run:<id>`. */
  readonly mentions: readonly string[];
  /** Items that the user took out, as `kind:id`. */
  readonly exclude?: readonly string[];
  /** The most characters. */
  readonly budget: number;
  /** Keep the question on the server, for a chat message that names it. */
  readonly keep?: boolean;
}

/** One thing that was chosen, or left out. */
export interface IContextItem {
  readonly kind:
    | 'imports'
    | 'cell'
    | 'output'
    | 'traceback'
    | 'markdown'
    | 'variable'
    | 'file'
    | 'run';
  /** A cell's id, a path, a variable's name. */
  readonly id: string;
  /** For the user: `cell 4`, `df: 891×12`, `prep.py`. */
  readonly label: string;
  readonly characters: number;
  /** Why it was chosen, or withheld, in words. */
  readonly why: string;
}

/** What the server chose. */
export interface IContext {
  /** What a model is told: code and comments for the task `complete`, marked sections otherwise. */
  readonly text: string;
  readonly items: readonly IContextItem[];
  /** `4 cells, 2 dataframes`. */
  readonly summary: string;
  readonly withheld: readonly IContextItem[];
  /** For X-AIDP-Path: the files that the text comes from, `outputs` where outputs are in it. */
  readonly paths: readonly string[];
  /** How many secrets were replaced in the text. */
  readonly secrets: number;
  /** Names the kept question; null unless asked to keep it. */
  readonly id: string | null;
}
