/** How many lines before the cursor a model may repeat. */
const LINES = 12;

/** Knows the text around the cursor again when a model repeats it. */
export class Echo {
  constructor(prefix: string, suffix: string) {
    this._before = prefix.split('\n').slice(-LINES);
    this._after =
      suffix
        .split('\n', 40)
        .slice(1)
        .map(line => line.trim())
        .find(line => line !== '') ?? '';
  }

  /**
   * A text without a beginning that repeats what stands before the cursor: the line, or the last lines. Null while it
   * may become such a repetition.
   */
  withoutPrefix(text: string, done: boolean): string | null {
    if (!text.trim()) {
      return text;
    }
    let isOpen = false;
    for (let from = 0; from < this._before.length; from++) {
      const lines = this._before.slice(from);
      if (!isTelling(lines)) {
        continue;
      }
      const end = match(text, lines);
      if (end === 'maybe') {
        isOpen ||= !done;
      } else if (end !== null) {
        return text.slice(end);
      }
    }
    return isOpen ? null : text;
  }

  /** Whether a line is the one that follows the cursor's line. */
  ofSuffix(line: string, isWhole: boolean): 'yes' | 'no' | 'maybe' {
    const text = line.trim();
    // A bracket or a lone word may well come twice.
    if (!text || this._after.length < 4 || !/\w/.test(this._after)) {
      return 'no';
    }
    if (isWhole) {
      return text === this._after ? 'yes' : 'no';
    }
    return this._after.startsWith(text) ? 'maybe' : 'no';
  }

  private _after: string;
  private _before: readonly string[];
}

/** Whether lines say enough that writing them twice is a mistake. The last is the cursor's. */
function isTelling(lines: readonly string[]): boolean {
  const first = lines[0]!.trim();
  if (lines.length > 1) {
    return first.length >= 6 && /[A-Za-z]/.test(first);
  }
  return (
    /[A-Za-z_]/.test(first) &&
    (first.length >= 4 || (first.length >= 2 && /\w$/.test(lines[0]!)))
  );
}

/** Where in a text the lines end that it begins with; blank space around them does not count. */
function match(
  text: string,
  lines: readonly string[]
): number | 'maybe' | null {
  let at = text.length - text.trimStart().length;
  for (const [index, line] of lines.entries()) {
    const wanted = line.trim();
    const isLast = index === lines.length - 1;
    if (isLast && !wanted) {
      return at;
    }
    const end = text.indexOf('\n', at);
    const found = (end < 0 ? text.slice(at) : text.slice(at, end)).trim();
    const start =
      at + (text.slice(at).length - text.slice(at).trimStart().length);
    if (isLast) {
      if (found.startsWith(wanted)) {
        return start + wanted.length;
      }
      return end < 0 && wanted.startsWith(found) ? 'maybe' : null;
    }
    if (end < 0) {
      return wanted.startsWith(found) ? 'maybe' : null;
    }
    if (found !== wanted) {
      return null;
    }
    at = end + 1;
  }
  return at;
}
