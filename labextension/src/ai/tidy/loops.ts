/** The longest block of lines and the longest piece of a line that are looked for. */
const LINES = 6;
const CHARACTERS = 40;
/** From when on a piece that comes again and again is a loop, in characters; rulers of one character are longer. */
const LOOP = 60;
const RULER = 200;

export interface IUnlooped {
  readonly text: string;
  /** The model repeats itself without end. */
  readonly ended: boolean;
}

/**
 * Lines without what only repeats: a block of lines that comes a third time (a single line a fourth time), a piece of
 * a line that comes on and on. Unless all is there, what looks like a repetition is held back; `isWritten` where the
 * last line may still grow.
 */
export function withoutLoops(
  lines: readonly string[],
  done: boolean,
  isWritten: boolean
): IUnlooped {
  let cut = lines.length;
  let ended = false;
  for (let period = 1; period <= LINES; period++) {
    const start = repetition(lines, period, isWritten);
    const count = lines.length - start - (isWritten ? 1 : 0);
    const isFilled = lines.slice(start).some(line => line.trim() !== '');
    if (!isFilled || start >= cut) {
      continue;
    }
    const isLoop = count >= Math.max(3, 2 * period);
    if (isLoop || !done) {
      cut = start;
      ended ||= isLoop;
    }
  }
  if (cut < lines.length) {
    return { text: lines.slice(0, cut).join('\n'), ended };
  }
  const last = inLine(lines.at(-1) ?? '', !isWritten);
  return {
    text: [...lines.slice(0, -1), last.text].join('\n'),
    ended: last.ended
  };
}

/** From which line on each is the one `period` lines before it. The last may be still written. */
function repetition(
  lines: readonly string[],
  period: number,
  isWritten: boolean
): number {
  let start = lines.length;
  while (start - 1 >= period) {
    const line = lines[start - 1]!.trimEnd();
    const earlier = lines[start - 1 - period]!.trimEnd();
    const isSame =
      line === earlier ||
      (isWritten && start === lines.length && earlier.startsWith(line));
    if (!isSame) {
      break;
    }
    start--;
  }
  return start;
}

/** A line with at most two of the pieces that it ends with again and again. */
function inLine(line: string, done: boolean): IUnlooped {
  let shown = line.length;
  for (let period = 1; period <= CHARACTERS; period++) {
    let start = line.length;
    while (start > period && line[start - 1] === line[start - 1 - period]) {
      start--;
    }
    // With the piece that is repeated.
    const length = line.length - start + period;
    const isRuler = period === 1 && /[-=#*_~. ]/.test(line.at(-1) ?? '');
    if (length >= (isRuler ? RULER : LOOP) && length >= 4 * period) {
      return { text: line.slice(0, start + period), ended: true };
    }
    if (!done && length > 2 * period && !isRuler) {
      shown = Math.min(shown, start + period);
    }
  }
  return { text: line.slice(0, shown), ended: false };
}
