/** Pure functions on texts and the places where they differ, line by line. */

/** The lines `from` up to, not including, `to` of a text become `lines`. */
export interface IHunk {
  readonly from: number;
  readonly to: number;
  readonly lines: readonly string[];
}

/** The characters `start` up to, not including, `end` of a text become `text`. */
export interface IEdit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** A text with some of its hunks in it; they are in order and do not overlap. */
export function apply(text: string, hunks: readonly IHunk[]): string {
  const lines = text.split('\n');
  const result: string[] = [];
  let at = 0;
  for (const hunk of hunks) {
    result.push(...lines.slice(at, hunk.from), ...hunk.lines);
    at = hunk.to;
  }
  result.push(...lines.slice(at));
  return result.join('\n');
}

/** The same as edits of the text, in order, each about its hunk alone: what stands between is not touched. */
export function edits(text: string, hunks: readonly IHunk[]): IEdit[] {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) {
    starts.push(at + 1);
  }
  // Each line ends in a line feed, so let the last one do, too: it is past the end of the text.
  starts.push(text.length + 1);
  return hunks.map(({ from, to, lines }) => {
    const [start, end] = [starts[from]!, starts[to]!];
    if (end <= text.length) {
      return { start, end, text: lines.map(line => `${line}\n`).join('') };
    }
    // At the end of the text there is none: the one before goes with the lines, or stays.
    const before = start > 0 && (lines.length === 0 || start > text.length);
    return {
      start: before ? start - 1 : start,
      end: text.length,
      text: `${before && lines.length > 0 ? '\n' : ''}${lines.join('\n')}`
    };
  });
}

/** What takes edits of a text back, as edits of the text with them in it. */
export function inverse(text: string, done: readonly IEdit[]): IEdit[] {
  let moved = 0;
  return done.map(({ start, end, text: put }) => {
    const at = start + moved;
    moved += put.length - (end - start);
    return {
      start: at,
      end: at + put.length,
      text: text.slice(start, end)
    };
  });
}

/** A text with the line ends of another one: what a model says has plain ones. */
export function withLineEndsOf(text: string, other: string): string {
  const end = /\r?\n/.exec(other)?.[0] ?? '\n';
  return text.replace(/\r?\n/g, end);
}

/** Whether two hunks of one text are about the same place. */
function collide(a: IHunk, b: IHunk): boolean {
  const isPoint = a.from === a.to || b.from === b.to;
  return isPoint
    ? a.from <= b.to && b.from <= a.to
    : a.from < b.to && b.from < a.to;
}

/** Hunks of a text as hunks of the text with `others` in it; null where both are about the same lines. */
export function rebase<T extends IHunk>(
  hunks: readonly T[],
  others: readonly IHunk[]
): T[] | null {
  if (hunks.some(hunk => others.some(other => collide(hunk, other)))) {
    return null;
  }
  return hunks.map(hunk => {
    const moved = others
      .filter(other => other.to <= hunk.from)
      .reduce((sum, { from, to, lines }) => sum + lines.length - to + from, 0);
    return { ...hunk, from: hunk.from + moved, to: hunk.to + moved };
  });
}
