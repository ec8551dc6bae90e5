import type { IContextItem, IContextQuestion } from '../ai/context/wire';
import type { Privacy } from '../ai/wire';

/** What can be done with a cell, a selection, a file or a notebook. Its twin: aidp_ext/ai/actions/wire.py. */
export type Action =
  | 'explain'
  | 'fix'
  | 'tests'
  | 'docs'
  | 'optimize'
  | 'review'
  | 'convert'
  | 'generate'
  | 'summary'
  | 'edit';

/** What the router knows each action as: which model is good at it, and what it may cost. */
export const TASKS: Readonly<Record<Action, string>> = {
  explain: 'explain',
  fix: 'fix',
  tests: 'tests',
  docs: 'docs',
  optimize: 'refactor',
  review: 'review',
  convert: 'refactor',
  generate: 'chat',
  summary: 'docs',
  edit: 'chat'
};

/** A part of a source, in Unicode code points. */
export interface ISelection {
  readonly start: number;
  readonly end: number;
}

/** The target is the active cell of the context's document. */
export interface IActionAsked {
  readonly action: Action;
  readonly context: IContextQuestion;
  readonly selection: ISelection | null;
  readonly instruction: string;
  /** Where `convert` writes a module; it writes a function without one. */
  readonly path_for_new_file?: string;
  readonly privacy?: Privacy | null;
}

/** One proposed change, in whole sources. */
export interface IChange {
  readonly kind: 'replace' | 'insert_below' | 'insert_above' | 'create_file';
  readonly source: string;
  /** What is there now, also of a file that would be overwritten. */
  readonly original: string;
  /** The id of the cell that is replaced, or beside which it is inserted. */
  readonly cell: string;
  /** The document, or the new file. */
  readonly path: string;
  readonly cell_type: 'code' | 'markdown';
  readonly why: string;
}

export interface IProposal {
  readonly title: string;
  readonly why: string;
  readonly changes: readonly IChange[];
  /** What can be run once it is accepted. */
  readonly run: { readonly kind: 'tests'; readonly path: string } | null;
}

/** How an answer was made. */
export interface IDone {
  readonly call: string;
  readonly route: string;
  readonly locality: string;
  readonly reason: string;
  readonly cost_usd: number | null;
  readonly prompt_tokens: number | null;
  readonly completion_tokens: number | null;
}

/** What the model is told beside the target. */
export interface IContextChosen {
  readonly summary: string;
  readonly items: readonly IContextItem[];
  readonly withheld: readonly IContextItem[];
}

export type ActionEvent =
  | ({ readonly type: 'context' } & IContextChosen)
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'code'; readonly text: string }
  | ({ readonly type: 'proposal' } & IProposal)
  | ({ readonly type: 'done' } & IDone);

/** How a run of tests ended. */
export interface IEnded {
  readonly passed: boolean;
  readonly exit: number;
  readonly summary: string;
}

export type TestEvent =
  | { readonly type: 'line'; readonly text: string }
  | ({ readonly type: 'ended' } & IEnded);
