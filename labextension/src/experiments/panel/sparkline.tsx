import * as React from 'react';

import type { Spark } from '../list/sparks';
import { usePanel } from './context';

const WIDTH = 28;
const HEIGHT = 14;

/** The way of a metric, small; what it says is also in the number beside it. */
export function Sparkline(props: {
  readonly run: string;
  readonly metric: string;
}): React.ReactElement | null {
  const { run, metric } = props;
  const { sparks } = usePanel().view;
  const spark = React.useSyncExternalStore(sparks.subscribe, () =>
    sparks.get(run, metric)
  );
  const path = React.useMemo(() => spark && pathOf(spark), [spark]);
  return path ? (
    <svg
      className="jp-AidpExp-spark"
      width={WIDTH}
      height={HEIGHT}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      aria-hidden
    >
      <path d={path} />
    </svg>
  ) : null;
}

/** Null where there is nothing to see in it: a single point, or none. */
export function pathOf(spark: Spark): string | null {
  const known = spark.filter((y): y is number => y !== null);
  if (known.length < 2) {
    return null;
  }
  const [least, most] = known.reduce(
    ([low, high], y) => [Math.min(low, y), Math.max(high, y)],
    [Infinity, -Infinity]
  );
  // Halves first: the difference of two very large numbers is none.
  const span = most! / 2 - least! / 2;
  const step = (WIDTH - 2) / (spark.length - 1);
  let isDrawing = false;
  return spark
    .map((y, index) => {
      if (y === null) {
        isDrawing = false;
        return '';
      }
      const share = span > 0 ? (y / 2 - least! / 2) / span : 0.5;
      const at = `${round(1 + index * step)} ${round(
        HEIGHT - 1.5 - share * (HEIGHT - 3)
      )}`;
      const way = isDrawing ? `L${at}` : `M${at}`;
      isDrawing = true;
      return way;
    })
    .join('');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
