import { normalise, trimOverlap } from '../text';
import {
  FENCE,
  REFUSAL,
  afterOpeners,
  beforePartialControl,
  controlTokens,
  isChat,
  isMarker,
  mayBeChat,
  mayBeMarker
} from './chatter';
import { Echo } from './echo';
import { Indenter } from './indent';
import { withoutLoops } from './loops';
import type { IOpen } from './scan';
import { opensBlock, scan } from './scan';

/** Where a suggestion goes. */
export interface IAround {
  /** The editor's text before and after the cursor. */
  readonly prefix: string;
  readonly suffix: string;
  /** The name of the language, in small letters; Python where it is not known. */
  readonly language?: string;
  /** How many lines there may be: `auto` goes by the position. */
  readonly lines?: 'auto' | 'single' | 'multiple';
}

/** What of an answer is of use. */
export interface ITidied {
  /** As much as is certain: it never has to be taken back while the answer grows. */
  readonly text: string;
  /** Nothing that comes now is of use: the model may stop. */
  readonly ended: boolean;
}

const NOTHING: ITidied = { text: '', ended: false };
const REFUSED: ITidied = { text: '', ended: true };

/** What is left of a whole answer of a model, at a cursor in Python code. */
export function postprocess(
  raw: string,
  prefix: string,
  suffix: string,
  language = 'python'
): string {
  const { text } = new Tidier({ prefix, suffix, language }).tidy(raw, true);
  return trimOverlap(text, suffix);
}

/**
 * Makes a suggestion of what a model writes: code that fits where the cursor is, and nothing else.
 *
 * What it gives for the beginning of an answer is the beginning of what it gives for more of it.
 */
export class Tidier {
  constructor(around: IAround) {
    const { prefix, suffix, language = 'python', lines = 'auto' } = around;
    this._cursorLine = prefix.slice(prefix.lastIndexOf('\n') + 1);
    [this._rest] = suffix.split('\n', 1) as [string];
    this._open = scan(prefix);
    this._isProse = /^(ipython|github)?(gfm|markdown|text|latex)$/.test(
      language
    );
    this._echo = new Echo(prefix, suffix);
    this._indenter = new Indenter(prefix, this._open, language === 'python');
    this._prefix = prefix;
    this._isNewBlock = opensBlock(prefix.trimEnd().split('\n').at(-1)!);
    this._isIndex = /[\w)\]]$/.test(prefix);
    this.isMidLine = this._rest.trim() !== '';
    this.single =
      lines === 'single' ||
      (lines === 'auto' && (this.isMidLine || this._open.brackets.length > 0));
  }

  /** Whether there is text after the cursor in its line. */
  readonly isMidLine: boolean;
  /** Whether the position has room for one line only. */
  readonly single: boolean;

  /** What of an answer is of use; `done` when all of it is there. */
  tidy(raw: string, done: boolean): ITidied {
    const whole = normalise(raw);
    const begun = this._begin(done ? whole.trimEnd() : whole, done);
    if (typeof begun !== 'string') {
      return begun;
    }
    const { text, ended } = this._end(begun, done);
    const indented = this._indenter.indent(text);
    const isOver = ended || indented.ended;
    return isNonsense(indented.text, done || isOver)
      ? { text: '', ended: isOver }
      : { text: indented.text, ended: isOver };
  }

  /** The answer without what comes before the code: control tokens, chat, a fence, the text before the cursor. */
  private _begin(text: string, done: boolean): string | ITidied {
    let rest = afterOpeners(text);
    if (!this._inProse) {
      for (;;) {
        const [line] = rest.trimStart().split('\n', 1) as [string];
        const isWhole = done || /\S[^\n]*\n/.test(rest);
        if (isWhole && REFUSAL.test(line)) {
          return REFUSED;
        }
        const isFence = FENCE.test(line);
        if (isWhole && (isFence || isChat(line))) {
          rest = rest.replace(/^\s*[^\n]*(\n|$)(?:[ \t]*\n)*/, '');
          if (isFence) {
            break;
          }
        } else if (!isWhole && (/^`{1,3}/.test(line) || mayBeChat(line))) {
          return NOTHING;
        } else {
          break;
        }
      }
    }
    const fresh = this._echo.withoutPrefix(rest, done);
    if (fresh === null) {
      return NOTHING;
    }
    return this._joined(fresh);
  }

  /** How a text goes on from the cursor's line. */
  private _joined(text: string): string {
    if (!this._cursorLine.trim()) {
      return this._begunAnew(text);
    }
    if (/^\s*(\n|$)/.test(text)) {
      return text;
    }
    if (
      !this.single &&
      opensBlock(this._cursorLine) &&
      /^(\t| {2,})/.test(text)
    ) {
      return `\n${text}`;
    }
    return /\s$/.test(this._cursorLine) ? text.replace(/^[ \t]+/, '') : text;
  }

  /** A text without the empty lines before it, in an indented line that is empty as well, or in a new block. */
  private _begunAnew(text: string): string {
    const [, blank, indent] = /^((?:[ \t]*\n)+)([ \t]*)\S/.exec(text) ?? [];
    const isInside = this._cursorLine !== '' || this._isNewBlock;
    return blank && isInside && indent!.length >= (this._cursorLine.length || 1)
      ? text.slice(blank.length)
      : text;
  }

  /** The text up to where it leaves the place: the cell, the line, what is written already, code. */
  private _end(text: string, done: boolean): ITidied {
    const lines = text.split('\n');
    const kept: string[] = [];
    let open = this._open;
    let isProse = this._inProse;
    let ended = false;
    for (const [index, line] of lines.entries()) {
      const isLast = index === lines.length - 1;
      const token = this._control(line, kept, isProse);
      const place = index > 0 || !this._cursorLine.trim() ? 'start' : 'middle';
      const fate =
        token >= 0
          ? 'cut'
          : place === 'middle'
            ? 'keep'
            : this._fate(line, isLast && !done, index > 0, isProse);
      if (fate === 'keep' || fate === 'cut') {
        kept.push(
          fate === 'cut'
            ? line.slice(0, token)
            : isLast && !done
              ? beforePartial(line, isProse)
              : line
        );
      }
      ended =
        fate === 'cut' || fate === 'end' || (!isLast && this._isFull(kept));
      if (ended || fate === 'hold') {
        break;
      }
      open = scan(`${line}\n`, open);
      isProse = this._isProse || open.quote.length === 3;
    }
    const isWritten = !done && !ended && kept.length === lines.length;
    const unlooped = withoutLoops(kept, done || ended, isWritten);
    return { text: unlooped.text, ended: ended || unlooped.ended };
  }

  /** What becomes of a line of an answer: it is kept, it may be the end of it, or is. */
  private _fate(
    line: string,
    isWritten: boolean,
    isNew: boolean,
    isProse: boolean
  ): 'keep' | 'hold' | 'end' {
    const echo = this._echo.ofSuffix(line, !isWritten);
    const leaves =
      !isProse &&
      (isMarker(line) ||
        FENCE.test(line) ||
        (isNew && !isWritten && isChat(line)));
    if (echo === 'yes' || leaves) {
      return 'end';
    }
    const mayLeave =
      !isProse && (mayBeMarker(line) || (isNew && mayBeChat(line)));
    return echo === 'maybe' || (isWritten && mayLeave) ? 'hold' : 'keep';
  }

  /** Whether the place has no room for another line. */
  private _isFull(kept: readonly string[]): boolean {
    if (!this.isMidLine) {
      return this.single && kept.some(line => line.trim() !== '');
    }
    // Also where several lines are wanted: the rest of the line is written again, and then what follows.
    return this.single || kept[0]!.trimEnd().endsWith(this._rest.trim());
  }

  /** Where a control token of a model stands in a line; one that the user's own code talks of is none. */
  private _control(
    line: string,
    kept: readonly string[],
    isProse: boolean
  ): number {
    const fence = isProse ? -1 : line.indexOf('```');
    for (const { 0: token, index } of controlTokens(line)) {
      if (token === '</s>') {
        const before = `${this._prefix.slice(-2000)}${kept.join('\n')}${line.slice(0, index)}`;
        if (before.lastIndexOf('<s>') > before.lastIndexOf('</s>')) {
          continue;
        }
      }
      // An index: `x▮[INST]`.
      if (token[0] === '[' && this._isIndex && kept.length + index === 0) {
        continue;
      }
      if (!this._prefix.includes(token)) {
        return fence < 0 ? index : Math.min(index, fence);
      }
    }
    return fence;
  }

  /** Whether words may stand at the cursor: in prose, in a string of several lines, in a comment. */
  private get _inProse(): boolean {
    return (
      this._isProse ||
      this._open.quote !== '' ||
      /^\s*#/.test(this._cursorLine) ||
      /\s#\s[^'"]*$/.test(this._cursorLine)
    );
  }

  private _cursorLine: string;
  private _echo: Echo;
  private _indenter: Indenter;
  private _isIndex: boolean;
  private _isNewBlock: boolean;
  private _isProse: boolean;
  private _open: IOpen;
  private _prefix: string;
  private _rest: string;
}

/** A line that is still written, without an end that may become a control token or a fence. */
function beforePartial(line: string, isProse: boolean): string {
  const certain = beforePartialControl(line);
  return isProse ? certain : certain.replace(/`{1,2}$/, '');
}

/** Whether there is nothing to read in a text: too much punctuation, or so far nothing else. */
function isNonsense(text: string, done: boolean): boolean {
  const said = text.trim();
  if (!said || /[\p{L}\p{N}_]/u.test(said)) {
    return false;
  }
  return !done || said.length > 8 || /(.)\1{3}/.test(said);
}
