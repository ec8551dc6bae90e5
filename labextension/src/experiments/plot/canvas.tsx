import * as React from 'react';

import type { ICardProps } from './card';
import type { ICursor, Range } from './chart';
import { Chart } from './chart';
import type { ILine } from './lines';
import { formatValue } from './numbers';
import { isDark } from './theme';
import { fillTooltip, valueAt, wordsForX } from './tooltip';

/** How many lines are read out with the cursor. */
const READ = 5;
const CLOSER = 0.6;

/** The drawn part of a chart. With the keyboard: arrows move the cursor, plus and minus zoom, 0 shows all. */
export function Canvas(
  props: ICardProps & {
    readonly lines: readonly ILine[];
    readonly isLog: boolean;
    readonly range: Range | null;
    readonly onZoom: (range: Range | null) => void;
  }
): React.ReactElement {
  const { group, isLog, lines, lit, metric, range, settings, trans } = props;
  const { axis, ignoresOutliers } = settings;
  const host = React.useRef<HTMLDivElement>(null);
  const box = React.useRef<HTMLDivElement>(null);
  const said = React.useRef<HTMLSpanElement>(null);
  const chart = React.useRef<Chart | null>(null);
  const isRead = React.useRef(false);
  const now = React.useRef(props);
  now.current = props;

  React.useLayoutEffect(() => {
    const onCursor = (cursor: ICursor | null) => {
      const { lines: drawn, onValues, settings: how } = now.current;
      fillTooltip(box.current!, drawn, cursor, how.axis, isDark());
      if (!cursor?.isGuest) {
        onValues?.(cursor && valuesAt(drawn, cursor));
      }
      if (cursor && isRead.current) {
        said.current!.textContent = spoken(drawn, cursor, how.axis);
      }
    };
    const mine = (chart.current = new Chart(
      host.current!,
      { onCursor, onZoom: wanted => now.current.onZoom(wanted) },
      group
    ));
    return () => {
      mine.dispose();
      now.current.onValues?.(null);
    };
  }, [group]);
  React.useLayoutEffect(() => {
    chart.current!.show({ lines, axis, isLog, ignoresOutliers, range, lit });
  }, [lines, axis, isLog, ignoresOutliers, range, lit, group]);

  const pressed = (event: React.KeyboardEvent) => {
    const { key, shiftKey } = event;
    const by = shiftKey ? 10 : 1;
    const act: Record<string, () => void> = {
      ArrowLeft: () => chart.current!.move(-by),
      ArrowRight: () => chart.current!.move(by),
      Home: () => chart.current!.move('first'),
      End: () => chart.current!.move('last'),
      '+': () => chart.current!.zoom(CLOSER),
      '-': () => chart.current!.zoom(1 / CLOSER),
      '0': () => props.onZoom(null),
      Escape: () => chart.current!.leave()
    };
    if (act[key] && !event.ctrlKey && !event.metaKey && !event.altKey) {
      isRead.current = true;
      act[key]!();
      isRead.current = false;
      event.preventDefault();
      event.stopPropagation();
    }
  };

  return (
    <div
      className="jp-AidpChart"
      role="application"
      aria-roledescription={trans.__('chart')}
      aria-label={summary(metric, lines, trans)}
      tabIndex={0}
      data-lm-suppress-shortcuts="true"
      onKeyDown={pressed}
      onBlur={() => chart.current!.leave()}
    >
      <div className="jp-AidpChart-canvas" ref={host} />
      <div className="jp-AidpChart-tip" ref={box} hidden aria-hidden />
      <span className="jp-AidpPanel-hidden" ref={said} aria-live="polite" />
    </div>
  );
}

function valuesAt(
  lines: readonly ILine[],
  cursor: ICursor
): Map<string, number | null> {
  return new Map(
    lines.map((line, order) => [line.key, valueAt(line, cursor, order).y])
  );
}

function spoken(
  lines: readonly ILine[],
  cursor: ICursor,
  axis: Parameters<typeof wordsForX>[1]
): string {
  const each = lines.slice(0, READ).map((line, order) => {
    const value = formatValue(valueAt(line, cursor, order).y);
    return lines.length > 1 ? `${line.label} ${value}` : value;
  });
  return [wordsForX(cursor.x, axis), ...each].join(', ');
}

function summary(
  metric: string,
  lines: readonly ILine[],
  trans: ICardProps['trans']
): string {
  const finite = (line: ILine) =>
    line.y.filter((one): one is number => one !== null);
  const about = lines.slice(0, READ).map(line => {
    const values = finite(line);
    const [first, last] = [values[0], values[values.length - 1]];
    const words = trans.__(
      'from %1 to %2',
      formatValue(first),
      formatValue(last)
    );
    return lines.length > 1 ? `${line.label} ${words}` : words;
  });
  return [
    metric,
    trans._n('%1 line', '%1 lines', lines.length),
    ...about,
    trans.__('Arrow keys move the cursor, plus and minus zoom, 0 shows all.')
  ].join('. ');
}
