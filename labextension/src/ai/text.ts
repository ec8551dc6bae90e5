/** Pure functions on text around the cursor: what is sent, and what of the answer is shown. */

/**
 * The end of a text, at most `limit` characters. The window starts at a line and moves in steps, not with each
 * key: a model server then finds most of the prompt in its cache.
 */
export function tail(text: string, limit: number): string {
  if (text.length <= limit) {
    return text;
  }
  const step = Math.max(1, Math.floor(limit / 4));
  const start = Math.ceil((text.length - limit) / step) * step;
  const line = text.indexOf('\n', start - 1) + 1;
  return text.slice(line > 0 && line < start + step ? line : start);
}

/**
 * The text before the cursor as a model is told it: without a space at its end. To most models a space is the
 * beginning of the next word (`= 1` is the tokens `=` and ` 1`); after a space on its own they go astray.
 */
export function untilNextWord(text: string): string {
  return text.endsWith(' ') ? text.slice(0, -1) : text;
}

/** One kind of line end, the editor's: else a suggestion's length would not be that of the inserted text. */
export function normalise(text: string): string {
  return text.replace(/\r\n?/g, '\n');
}

const OPENERS: Readonly<Record<string, string>> = {
  ')': '(',
  ']': '[',
  '}': '{'
};

/**
 * Leave out what the line after the cursor already holds (`print(▮)` answered with `x)`), and blank space at the end.
 * A bracket or quote that closes one in the suggestion itself stays: `print(▮)` answered with `(1)` is whole.
 */
export function trimOverlap(text: string, suffix: string): string {
  const shown = text.trimEnd();
  const rest = suffix.split('\n', 1)[0]!.trimEnd();
  for (let n = Math.min(rest.length, shown.length); n > 0; n--) {
    const overlap = rest.slice(0, n);
    const upTo = shown.slice(0, shown.length - n + 1);
    if (shown.endsWith(overlap) && !closesOwn(upTo, overlap[0]!)) {
      return shown.slice(0, -n).trimEnd();
    }
  }
  return shown;
}

/** Whether the last `mark` in the text has its partner in the text. */
function closesOwn(text: string, mark: string): boolean {
  const count = (character: string) => text.split(character).length - 1;
  const opener = OPENERS[mark];
  if (opener) {
    return count(opener) >= count(mark);
  }
  return (mark === '"' || mark === "'") && count(mark) % 2 === 0;
}

/**
 * The cells before the one being written, at most `limit` characters: the nearest ones whole, of those that do not
 * fit only their imports.
 */
export function cellsAsContext(
  sources: readonly string[],
  limit: number
): string {
  const parts: string[] = [];
  let left = limit;
  for (const source of [...sources].reverse()) {
    const imports = () =>
      source
        .split('\n')
        .filter(line => /^(import|from)\s/.test(line))
        .join('\n');
    const part = source.length <= left ? source.trim() : imports();
    if (part && part.length <= left) {
      parts.unshift(part);
      left -= part.length + 2;
    }
  }
  return parts.length > 0 ? `${parts.join('\n\n')}\n\n` : '';
}
