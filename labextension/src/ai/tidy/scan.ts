/** What a text leaves open at its end: brackets, and a string, named by its quote. */
export interface IOpen {
  readonly brackets: readonly string[];
  readonly quote: string;
}

export const NOTHING_OPEN: IOpen = { brackets: [], quote: '' };

const CLOSERS: Readonly<Record<string, string>> = {
  ')': '(',
  ']': '[',
  '}': '{'
};
const TOKEN = /\\[\s\S]|"""|'''|["'`()[\]{}\n#]/g;

/** Read a text as code and say what is open at its end. Near enough for most languages; comments are Python's. */
export function scan(text: string, from: IOpen = NOTHING_OPEN): IOpen {
  const brackets = [...from.brackets];
  let { quote } = from;
  TOKEN.lastIndex = 0;
  for (let m = TOKEN.exec(text); m; m = TOKEN.exec(text)) {
    const token = m[0];
    if (quote) {
      // A plain string ends with its line.
      if (token === quote || (token === '\n' && quote.length === 1)) {
        quote = '';
      } else if (token.length === 3 && token[0] === quote) {
        TOKEN.lastIndex = m.index + 1;
        quote = '';
      }
    } else if (token === '#') {
      const end = text.indexOf('\n', m.index);
      TOKEN.lastIndex = end < 0 ? text.length : end;
    } else if (/^["'`]/.test(token)) {
      quote = token;
    } else if (token in CLOSERS) {
      const at = brackets.lastIndexOf(CLOSERS[token]!);
      if (at >= 0) {
        brackets.length = at;
      }
    } else if (/^[([{]/.test(token)) {
      brackets.push(token);
    }
  }
  return { brackets, quote };
}

/** Whether a line of Python opens a block, whose body must be indented. */
export function opensBlock(line: string): boolean {
  return /:\s*(?:#.*)?$/.test(line) && !/^\s*#/.test(line);
}

/** The indentation of a document: tabs or spaces, and how many columns a level has. */
export class Indentation {
  constructor(text: string) {
    const indents: readonly string[] = text.match(/^[ \t]+(?=\S)/gm) ?? [];
    const tabs = indents.filter(indent => indent.startsWith('\t')).length;
    this._tabs = tabs > indents.length / 2;
    this.unit = indents.includes('  ') && !this._tabs ? 2 : 4;
  }

  /** Columns of a level. */
  readonly unit: number;

  /** The columns of blank space that a line begins with. */
  columns(line: string): number {
    let columns = 0;
    for (const character of /^[ \t]*/.exec(line)![0]) {
      columns += character === '\t' ? this.unit : 1;
    }
    return columns;
  }

  /** Blank space as the document writes it. */
  space(columns: number): string {
    return this._tabs
      ? '\t'.repeat(Math.floor(columns / this.unit)) +
          ' '.repeat(columns % this.unit)
      : ' '.repeat(columns);
  }

  private _tabs: boolean;
}
