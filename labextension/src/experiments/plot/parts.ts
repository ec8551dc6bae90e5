import type uPlot from 'uplot';

import type { Axis } from '../wire';
import type { ILine } from './lines';
import { nearest } from './lines';
import { formatSpan, formatStep } from './numbers';
import { SPANS, marks } from './ticks';

/** How far apart the marks of the x axis are at least, in pixels. */
export const MARK_X = 60;

export type Range = readonly [number, number];

export interface IChartView {
  readonly lines: readonly ILine[];
  readonly axis: Axis;
  readonly isLog: boolean;
  readonly ignoresOutliers: boolean;
  /** What of the x axis is seen; null for all. */
  readonly range: Range | null;
  /** The line that is pointed at elsewhere. */
  readonly lit: string | null;
}

/** Where the cursor is. */
export interface ICursor {
  readonly x: number;
  /** In pixels, within the chart. */
  readonly left: number;
  readonly top: number;
  readonly width: number;
  /** For each line the place in its own values; -1 for none. */
  readonly at: readonly number[];
  /** It follows the cursor of another chart. */
  readonly isGuest: boolean;
}

export interface IChartEvents {
  readonly onCursor: (cursor: ICursor | null) => void;
  /** A part was chosen to be looked at closely; null for all. */
  readonly onZoom: (range: Range | null) => void;
}

/** What a chart is built from: anything else can be changed in place. */
export function shapeOf({ axis, isLog, lines }: IChartView): string {
  const each = lines.map(
    ({ key, index, raw, min }) => `${key} ${index} ${!!raw} ${!!min}`
  );
  return [axis, isLog, ...each].join('\n');
}

export function xAxis(axis: Axis): uPlot.Axis {
  switch (axis) {
    case 'time':
      return {};
    case 'relative':
      return {
        incrs: SPANS,
        values: (_, splits) => splits.map(formatSpan)
      };
    case 'step':
      return {
        splits: (plot, _, min, max) =>
          marks(min, max, plot.width / MARK_X).filter(Number.isInteger),
        values: (_, splits) => splits.map(formatStep)
      };
  }
}

export function firstFrom(x: readonly number[], from: number): number {
  const at = nearest(x, from);
  return x[at]! < from && at < x.length - 1 ? at + 1 : at;
}

/** What marks a line at the cursor; smoothed lines alone are marked, not what lies behind them. */
export function pointFor(isMain: boolean): HTMLElement {
  const point = document.createElement('div');
  point.hidden = !isMain;
  return point;
}
