import type { ICompletionContext } from '@jupyterlab/completer';
import type { Widget } from '@lumino/widgets';

import type { IContextGatherer, IContextWish } from './context/tokens';
import type { ICellSaid, IContext, IContextQuestion } from './context/wire';
import { consoleOf, notebookOf } from './panels';
import { cellsAsContext } from './text';

/** What is known of a place beyond the text in the editor. */
export interface ISurroundings {
  /** Names the text that is written: a cell's or a file's. */
  readonly text: string;
  /** False where nothing is suggested unless asked for: in prose, in languages and documents that are turned off. */
  readonly isWanted: boolean;
  /** The name of the language, in small letters. */
  readonly language: string;
  /** What a model is told first. */
  readonly before: string;
  /** What the server chose; null while it has not answered. */
  readonly context: IContext | null;
  /** The files that the text comes from, below the server's root. */
  readonly paths: readonly string[];
}

export interface ISurroundingsOptions {
  readonly gatherer: Pick<
    IContextGatherer,
    'question' | 'choose' | 'kernel'
  > | null;
  readonly pathOf: (widget: unknown) => string;
  readonly languageOf: (mimeType: string) => string;
  /** Whether suggestions are wanted in a document and a language. */
  readonly isWanted: (widget: Widget | null, language: string) => boolean;
}

/** How long nobody types before it is looked whether something else should be told. */
const QUIET_MS = 800;
/** How much of the text before the cursor says what it is about. */
const QUERY = 1000;
/** How many new names make another question. */
const NAMES = 2;

type Place = Pick<ICompletionContext, 'widget' | 'editor'>;

/** The text that the user is in. */
interface IEntered {
  readonly text: string;
  readonly limit: number;
  /** What is told until the server has answered. */
  readonly fallback: string;
  context: IContext | null;
  question: IContextQuestion | null;
  readonly abort: AbortController;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/**
 * What a model is told before the text that is written.
 *
 * The server chooses it, in the background: when the user comes to a cell, and again when other cells, the kernel or
 * the names in use have changed. No key waits for it: until it is there, the nearest cells before are told.
 */
export class Surroundings {
  constructor(private _options: ISurroundingsOptions) {}

  /** Choose for a cell before the first key is pressed in it. */
  enter(widget: Widget, limit: number): void {
    this._entered_(widget, this._textOf(widget, null), limit, '');
  }

  /** `limit`: how many characters of what comes before. */
  at({ widget, editor }: Place, prefix: string, limit: number): ISurroundings {
    const { pathOf, languageOf, isWanted } = this._options;
    const text = this._textOf(widget, editor?.uuid ?? null);
    const path = pathOf(widget);
    const language = languageOf(editor?.model.mimeType ?? '');
    const { context, fallback } = this._entered_(widget, text, limit, prefix);
    const chosen = context?.text.trimEnd();
    return {
      text,
      isWanted: isWanted(widget, language),
      language,
      before: context ? (chosen ? `${chosen}\n\n` : '') : fallback,
      context,
      paths: [...new Set([path, ...(context?.paths ?? [])])].filter(Boolean)
    };
  }

  /** The state of the text that the user is in; a text is entered once, then looked after. */
  private _entered_(
    widget: Widget,
    text: string,
    limit: number,
    prefix: string
  ): IEntered {
    const known = this._entered;
    if (known?.text === text && known.limit === limit) {
      const taken = this._options.gatherer?.kernel(widget)?.taken_at ?? null;
      const isNews = taken !== (known.question?.kernel?.taken_at ?? null);
      this._choose(known, widget, prefix, isNews ? 0 : QUIET_MS);
      return known;
    }
    known?.abort.abort();
    clearTimeout(known?.timer);
    const entered: IEntered = {
      text,
      limit,
      fallback: cellsAsContext(earlierSources(widget), limit),
      context: null,
      question: null,
      abort: new AbortController(),
      timer: undefined
    };
    this._entered = entered;
    this._choose(entered, widget, prefix, 0);
    return entered;
  }

  /** Ask the server in a moment, if there is another question than before. */
  private _choose(
    entered: IEntered,
    widget: Widget,
    prefix: string,
    delay: number
  ): void {
    const { gatherer } = this._options;
    if (!gatherer || entered.limit === 0) {
      return;
    }
    clearTimeout(entered.timer);
    entered.timer = setTimeout(() => {
      whenIdle(async () => {
        if (entered !== this._entered || widget.isDisposed) {
          return;
        }
        const wish: IContextWish = {
          task: 'complete',
          widget,
          query: prefix.slice(-QUERY),
          budget: entered.limit
        };
        const question = gatherer.question(wish);
        if (entered.question && isLike(question, entered.question)) {
          return;
        }
        entered.question = question;
        try {
          const context = await gatherer.choose(wish, entered.abort.signal);
          if (entered.question === question) {
            entered.context = context;
          }
        } catch {
          // What was told so far still is; the next cell or change asks again.
        }
      });
    }, delay);
  }

  private _textOf(widget: Widget, editor: string | null): string {
    const cell =
      notebookOf(widget)?.content.activeCell ?? consoleOf(widget)?.promptCell;
    return (
      cell?.model.id ?? (editor || this._options.pathOf(widget) || widget.id)
    );
  }

  private _entered: IEntered | null = null;
}

/** The code cells before the one that is written, in a notebook or a console. */
function earlierSources(widget: Widget): string[] {
  const content = notebookOf(widget)?.content;
  const cells = content
    ? content.widgets.slice(0, content.activeCellIndex)
    : [...(consoleOf(widget)?.cells ?? [])];
  return cells
    .filter(cell => cell.model.type === 'code')
    .map(cell => cell.model.sharedModel.getSource());
}

/** Whether two questions would be answered alike: the text that is written changes with each key. */
function isLike(a: IContextQuestion, b: IContextQuestion): boolean {
  const [cells, others] = [a, b].map(
    ({ document }) =>
      document?.cells.filter(({ id }) => id !== document.active) ?? []
  ) as [ICellSaid[], ICellSaid[]];
  const variables = a.kernel?.variables.map(({ name }) => name) ?? [];
  const before = namesIn(b.query);
  const names = [...namesIn(a.query)].filter(name => !before.has(name));
  return (
    a.kernel?.taken_at === b.kernel?.taken_at &&
    a.budget === b.budget &&
    a.open.length === b.open.length &&
    a.open.every(({ text }, i) => text === b.open[i]!.text) &&
    cells.length === others.length &&
    cells.every(
      (cell, i) =>
        cell === others[i] ||
        (cell.source === others[i]!.source &&
          cell.outputs === others[i]!.outputs)
    ) &&
    names.length < NAMES &&
    !names.some(name => variables.includes(name))
  );
}

function namesIn(text: string): Set<string> {
  return new Set(text.match(/[\p{L}_][\p{L}\p{N}_]{2,}/gu));
}

/** Do something when the browser has nothing better to do. */
function whenIdle(work: () => Promise<void>): void {
  // Safari has no such thing.
  if (typeof requestIdleCallback === 'function') {
    requestIdleCallback(() => void work(), { timeout: 200 });
  } else {
    void work();
  }
}
