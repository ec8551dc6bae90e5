import type { IOpen } from './scan';
import { Indentation, opensBlock, scan } from './scan';

/** A level of indentation: as the model writes it, and as it is in the document. In columns. */
interface ILevel {
  readonly raw: number;
  readonly shown: number;
}

/**
 * Gives each line of a suggestion the indentation that it must have at the cursor.
 *
 * Models write the lines after the first sometimes as they stand in the document, sometimes relative to the cursor;
 * they repeat the blank space that is already before the cursor, or leave out that of a block. A line never depends
 * on what comes after it.
 */
export class Indenter {
  constructor(
    prefix: string,
    private _open: IOpen,
    private _isPython: boolean
  ) {
    const lines = prefix.split('\n');
    this._cursor = lines.at(-1)!;
    this._indentation = new Indentation(prefix);
    const code = lines.filter(line => /^\s*[^\s#]/.test(line));
    const filled = lines.filter(line => line.trim() !== '');
    this._levels = levelsOf(code, this._indentation);
    this._opened = opensBlock(code.at(-1) ?? '');
    this._deepest = this._indentation.columns(filled.at(-1) ?? '');
  }

  /** A text with its indentation; `ended` where the rest cannot belong here. */
  indent(text: string): { readonly text: string; readonly ended: boolean } {
    const levels = [...this._levels];
    const shown: string[] = [];
    let open = this._open;
    let opened = this._opened;
    let logical = this._cursor;
    let isFirst = true;
    let lifted = -1;
    for (const [index, line] of text.split('\n').entries()) {
      const content = line.trimStart();
      const isOnCursorLine = index === 0;
      const isFree = open.quote !== '' || open.brackets.length > 0;
      const continues = isOnCursorLine && this._cursor.trim() !== '';
      if (!content || continues) {
        shown.push(isOnCursorLine ? line : '');
      } else if (isFree || !this._isPython) {
        shown.push(this._loose(line, isOnCursorLine, levels) + content);
      } else {
        const written = this._indentation.columns(line);
        const before = isOnCursorLine
          ? this._indentation.columns(this._cursor)
          : 0;
        if (!isFirst && written === lifted && shown.at(-1) === '') {
          // Its block was lifted to where it must be: this may be its next line, or what comes after it.
          return { text: shown.join('\n').trimEnd(), ended: true };
        }
        const level = isFirst
          ? this._first(written, before, opened)
          : this._next(levels, written, opened);
        if (isFirst && level.shown > level.raw && opened) {
          lifted = level.raw;
        }
        place(levels, level);
        isFirst = false;
        shown.push(this._indentation.space(level.shown - before) + content);
      }
      if (content) {
        logical = continues ? this._cursor + line : line;
        isFirst = isFirst && continues;
        opened = opensBlock(logical) || (opened && /^\s*#/.test(logical));
      }
      open = scan(`${line}\n`, open);
    }
    return { text: shown.join('\n'), ended: false };
  }

  /** The first line, which may stand right of blank space that is there already. */
  private _first(written: number, before: number, opened: boolean): ILevel {
    const { unit } = this._indentation;
    const top = this._levels.at(-1)!.shown;
    const most = opened ? top + unit : Math.max(top, this._deepest);
    const raw = before + written;
    const isRetyped = before > 0 && written > 0 && raw > most;
    const wanted = opened ? most : Math.min(isRetyped ? written : raw, most);
    return {
      raw: isRetyped ? written : raw,
      shown: Math.max(before, wanted)
    };
  }

  private _next(levels: ILevel[], written: number, opened: boolean): ILevel {
    const { unit } = this._indentation;
    const last = levels.at(-1)!;
    if (opened && written <= last.raw) {
      // No deeper than the line that opens the block: the model counts from the cursor.
      levels[levels.length - 1] = {
        raw: Math.max(0, written - unit),
        shown: last.shown
      };
      return { raw: written, shown: last.shown + unit };
    }
    if (opened) {
      return { raw: written, shown: last.shown + unit };
    }
    const known = [...levels].reverse().find(({ raw }) => raw <= written);
    // Deeper without reason, or on a level that is known.
    return {
      raw: written,
      shown: known?.shown ?? Math.min(written, levels[0]!.shown)
    };
  }

  /** Inside brackets and strings lines stand as they like, beside the level they belong to. */
  private _loose(
    line: string,
    isOnCursorLine: boolean,
    levels: readonly ILevel[]
  ): string {
    const { _indentation: indentation, _cursor: cursor } = this;
    const written = indentation.columns(line);
    if (isOnCursorLine) {
      const before = indentation.columns(cursor);
      return indentation.space(written >= before ? written - before : 0);
    }
    const { raw, shown } = levels.at(-1)!;
    return indentation.space(
      Math.max(0, written + (this._isPython ? shown - raw : 0))
    );
  }

  private _cursor: string;
  private _deepest: number;
  private _indentation: Indentation;
  private _levels: readonly ILevel[];
  private _opened: boolean;
}

/** The levels that the last line of some code stands in, the outermost first. */
function levelsOf(code: readonly string[], indentation: Indentation): ILevel[] {
  const levels: ILevel[] = [];
  for (const line of [...code].reverse()) {
    const columns = indentation.columns(line);
    if (levels.length === 0 || columns < levels[0]!.shown) {
      levels.unshift({ raw: columns, shown: columns });
    }
    if (columns === 0) {
      break;
    }
  }
  return levels[0]?.shown === 0 ? levels : [{ raw: 0, shown: 0 }, ...levels];
}

/** Make a level the innermost one. */
function place(levels: ILevel[], level: ILevel): void {
  while (levels.length > 0 && levels.at(-1)!.shown >= level.shown) {
    levels.pop();
  }
  levels.push(level);
}
