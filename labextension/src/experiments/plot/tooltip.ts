import type { Axis } from '../wire';
import type { ICursor } from './chart';
import type { ILine } from './lines';
import { formatSpan, formatValue } from './numbers';
import { lookOf } from './palette';

/** How many lines are named at the cursor. */
const MOST = 12;
const GAP = 12;

/** What is said of the x axis at a place. */
export function wordsForX(x: number, axis: Axis): string {
  switch (axis) {
    case 'step':
      return `step ${Math.round(x).toLocaleString('en')}`;
    case 'relative':
      return formatSpan(x);
    case 'time':
      return new Date(x).toLocaleString([], {
        dateStyle: 'short',
        timeStyle: 'medium'
      });
  }
}

/** A line's value at the cursor; null where it has none there. */
export function valueAt(
  line: ILine,
  cursor: ICursor,
  order: number
): {
  readonly y: number | null;
  readonly raw: number | null;
} {
  const at = cursor.at[order] ?? -1;
  return { y: line.y[at] ?? null, raw: line.raw?.[at] ?? null };
}

/** Show the lines' values beside the cursor. Written to the page by hand: it follows each movement of the mouse. */
export function fillTooltip(
  box: HTMLElement,
  lines: readonly ILine[],
  cursor: ICursor | null,
  axis: Axis,
  isDark: boolean
): void {
  const isShown = cursor !== null && !cursor.isGuest && lines.length > 0;
  box.hidden = !isShown;
  if (!isShown) {
    return;
  }
  const told = lines
    .map((line, order) => ({ line, ...valueAt(line, cursor, order) }))
    .filter(({ line }) => isNear(line, cursor))
    .sort((a, b) => (b.y ?? -Infinity) - (a.y ?? -Infinity));
  const rows = told.slice(0, MOST).map(({ line, y, raw }) => {
    const row = element('div', 'jp-AidpChart-row');
    const mark = element('span', 'jp-AidpChart-mark');
    mark.style.background = lookOf(line.index, isDark).color;
    const value = element('span', 'jp-AidpChart-value', formatValue(y));
    row.append(mark, element('span', 'jp-AidpChart-name', line.label), value);
    if (line.raw) {
      row.append(element('span', 'jp-AidpChart-raw', formatValue(raw)));
    }
    return row;
  });
  const nearestX = told[0]
    ? told[0].line.x[cursor.at[lines.indexOf(told[0].line)]!]!
    : cursor.x;
  const head = element('div', 'jp-AidpChart-head', wordsForX(nearestX, axis));
  const more = told.length - MOST;
  box.replaceChildren(
    head,
    ...rows,
    ...(more > 0 ? [element('div', 'jp-AidpChart-head', `+${more}`)] : [])
  );
  const isRight = cursor.left > cursor.width / 2;
  box.style.left = isRight ? '' : `${cursor.left + GAP}px`;
  box.style.right = isRight ? `${cursor.width - cursor.left + GAP}px` : '';
  box.style.top = '8px';
}

/** A line that ended long before the cursor has no value there. */
function isNear(line: ILine, { x }: ICursor): boolean {
  const [first, last] = [line.x[0], line.x[line.x.length - 1]];
  if (first === undefined || last === undefined) {
    return false;
  }
  const slack = (last - first) / Math.max(1, line.x.length - 1) || Infinity;
  return x >= first - slack && x <= last + slack;
}

function element(tag: string, className: string, text = ''): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
