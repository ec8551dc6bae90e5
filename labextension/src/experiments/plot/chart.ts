import 'uplot/dist/uPlot.min.css';

import type { IDisposable } from '@lumino/disposable';
import uPlot from 'uplot';

import type { ILine } from './lines';
import { aligned, nearest } from './lines';
import { faded, lookOf } from './palette';
import type { IChartEvents, IChartView, Range } from './parts';
import { MARK_X, firstFrom, pointFor, shapeOf, xAxis } from './parts';
import { colorsAt, watchTheme } from './theme';
import type { IYScale } from './yscale';
import { yLabels, yMarks, yRange, yScaleOf } from './yscale';

/** How far apart marks are at least, in pixels. */
const MARK_Y = 34;
/** What is not looked at. */
const DIM = 0.25;
/** Half the height of the mark of a value that is not finite, in pixels. */
const BAD = 4;

export type { IChartEvents, IChartView, ICursor, Range } from './parts';

/** Curves on a canvas. Charts with the same `group` point at the same x together. */
export class Chart implements IDisposable {
  constructor(
    private _host: HTMLElement,
    private _events: IChartEvents,
    private _group: string
  ) {
    this._watch = watchTheme(() => this._rebuild());
    this._observer = new ResizeObserver(() => this._fit());
    this._observer.observe(_host);
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  show(view: IChartView): void {
    const before = this._view;
    this._view = view;
    if (!this._plot || !before || shapeOf(before) !== shapeOf(view)) {
      this._rebuild();
      return;
    }
    const plot = this._plot;
    if (
      before.lines !== view.lines ||
      before.range !== view.range ||
      before.ignoresOutliers !== view.ignoresOutliers
    ) {
      const data = this._data(view);
      plot.batch(() => {
        plot.setData(data, false);
        plot.setScale('x', this._whole());
      });
    }
    if (before.lit !== view.lit) {
      this._light();
    }
  }

  /** Move the cursor with the keyboard, by so many points, or to one end. */
  move(by: number | 'first' | 'last'): void {
    const plot = this._plot;
    const longest = this._longest();
    if (!plot || !longest) {
      return;
    }
    const { x } = longest;
    const { left = -1 } = plot.cursor;
    const [from, to] = this._ends();
    const first = firstFrom(x, from);
    const last = nearest(x, to);
    const now = left >= 0 ? nearest(x, plot.posToVal(left, 'x')) : null;
    const wanted =
      by === 'first'
        ? first
        : by === 'last'
          ? last
          : now === null
            ? by > 0
              ? first
              : last
            : now + by;
    const index = Math.min(last, Math.max(first, wanted));
    const y = longest.y[index] ?? null;
    const top = y === null ? 10 : plot.valToPos(this._scale.to(y), 'y');
    this._isKeyboard = true;
    plot.setCursor({ left: plot.valToPos(x[index]!, 'x'), top });
    this._isKeyboard = false;
  }

  /** Look closer at what is around the cursor, or less close. */
  zoom(by: number): void {
    const plot = this._plot;
    if (!plot) {
      return;
    }
    const [from, to] = this._ends();
    const { left = -1 } = plot.cursor;
    const middle = left >= 0 ? plot.posToVal(left, 'x') : (from + to) / 2;
    const [low, high] = this._all();
    const next: Range = [
      Math.max(low, middle - (middle - from) * by),
      Math.min(high, middle + (to - middle) * by)
    ];
    this._events.onZoom(
      next[0] <= low && next[1] >= high ? null : next[1] > next[0] ? next : null
    );
  }

  /** Take the cursor away. */
  leave(): void {
    this._plot?.setCursor({ left: -10, top: -10 });
  }

  dispose(): void {
    this._isDisposed = true;
    this._observer.disconnect();
    this._watch.dispose();
    this._plot?.destroy();
    this._plot = null;
  }

  private _rebuild(): void {
    const view = this._view;
    const { clientWidth: width, clientHeight: height } = this._host;
    this._plot?.destroy();
    this._plot = null;
    if (!view || width < 40 || height < 40 || this._isDisposed) {
      return;
    }
    const data = this._data(view);
    const options = this._options(view, width, height);
    this._plot = new uPlot(options, data, this._host);
    this._light();
  }

  private _data(view: IChartView): uPlot.AlignedData {
    this._scale = yScaleOf(view.lines, view.isLog);
    const { x, columns } = aligned(view.lines);
    const { to } = this._scale;
    return [
      x,
      ...columns.map(column =>
        column.map(value =>
          value === null || value === undefined ? value : to(value)
        )
      )
    ] as uPlot.AlignedData;
  }

  private _options(
    view: IChartView,
    width: number,
    height: number
  ): uPlot.Options {
    const colors = colorsAt(this._host);
    const series: uPlot.Series[] = [{}];
    const bands: uPlot.Band[] = [];
    this._first = [];
    for (const line of view.lines) {
      const { color, dash } = lookOf(line.index, colors.isDark);
      const points = { size: 5, fill: color, stroke: color };
      this._first.push(series.length);
      series.push({
        stroke: color,
        width: 1.5,
        dash: [...dash],
        spanGaps: false,
        points
      });
      if (line.raw) {
        series.push({
          stroke: faded(color, 0.3),
          width: 1,
          points: { show: false }
        });
      }
      if (line.min) {
        const none = { stroke: 'transparent', width: 0 };
        const at = series.length;
        series.push({ ...none, points: { show: false } });
        series.push({ ...none, points: { show: false } });
        bands.push({ series: [at + 1, at], fill: faded(color, 0.18) });
      }
    }
    const isMain = (index: number) => this._first.includes(index);
    const shared = {
      stroke: colors.quiet,
      font: colors.font,
      grid: { stroke: colors.line, width: 1 },
      ticks: { show: false },
      border: { show: true, stroke: colors.line, width: 1 }
    };
    return {
      width,
      height,
      ms: 1,
      series,
      bands,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      focus: { alpha: DIM },
      scales: {
        x: {
          time: view.axis === 'time',
          range: (_, min, max) => this._xRange(min, max)
        },
        y: { range: (_, min, max) => this._yRange(min, max) }
      },
      axes: [
        { ...shared, size: 24, gap: 4, space: MARK_X, ...xAxis(view.axis) },
        {
          ...shared,
          gap: 4,
          size: (_, values) =>
            Math.max(
              30,
              12 + 6.4 * Math.max(0, ...(values ?? []).map(one => one.length))
            ),
          splits: (plot, _, min, max) =>
            yMarks(this._scale, min, max, plot.height / MARK_Y),
          values: (_, splits) => yLabels(this._scale, splits)
        }
      ],
      cursor: {
        y: false,
        points: { size: 7, show: (_, index) => pointFor(isMain(index)) },
        drag: { x: true, y: false, setScale: false, dist: 5 },
        sync: {
          key: this._group,
          setSeries: false,
          scales: ['x', null],
          filters: { pub: type => /^mouse(move|leave)$/.test(type) }
        },
        bind: {
          dblclick: () => () => {
            this._events.onZoom(null);
            return null;
          }
        }
      },
      hooks: {
        setCursor: [plot => this._pointed(plot)],
        setSelect: [plot => this._selected(plot)],
        draw: [plot => this._drawBad(plot, colors.isDark)]
      }
    };
  }

  private _pointed(plot: uPlot): void {
    const { left = -1, top = -1, event } = plot.cursor;
    if (left < 0 || !this._view) {
      this._events.onCursor(null);
      return;
    }
    const x = plot.posToVal(left, 'x');
    this._events.onCursor({
      x,
      left: left + plot.over.offsetLeft,
      top: top + plot.over.offsetTop,
      width: plot.width,
      at: this._view.lines.map(line => nearest(line.x, x)),
      isGuest:
        !this._isKeyboard &&
        !plot.over.matches(':hover') &&
        !(event && plot.over.contains(event.target as Node))
    });
  }

  private _selected(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width > 4) {
      const from = plot.posToVal(left, 'x');
      const to = plot.posToVal(left + width, 'x');
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      this._events.onZoom([from, to]);
    }
  }

  /** Say along the lower edge where a line is not a finite number. */
  private _drawBad(plot: uPlot, isDark: boolean): void {
    const { ctx, bbox } = plot;
    const size = BAD * uPlot.pxRatio;
    const bottom = bbox.top + bbox.height - size - uPlot.pxRatio;
    ctx.save();
    ctx.lineWidth = 1.5 * uPlot.pxRatio;
    for (const { bad, index } of this._view?.lines ?? []) {
      ctx.strokeStyle = lookOf(index, isDark).color;
      ctx.beginPath();
      let last = -Infinity;
      for (const x of bad) {
        const at = plot.valToPos(x, 'x', true);
        const isSeen = at >= bbox.left && at <= bbox.left + bbox.width;
        if (isSeen && at - last > size) {
          last = at;
          ctx.moveTo(at - size, bottom - size);
          ctx.lineTo(at + size, bottom + size);
          ctx.moveTo(at + size, bottom - size);
          ctx.lineTo(at - size, bottom + size);
        }
      }
      ctx.stroke();
    }
    ctx.restore();
  }

  private _light(): void {
    const { lines, lit } = this._view!;
    const at = lines.findIndex(({ key }) => key === lit);
    this._plot?.setSeries(at < 0 ? null : this._first[at]!, { focus: true });
  }

  private _fit(): void {
    const { clientWidth: width, clientHeight: height } = this._host;
    if (!this._plot) {
      this._rebuild();
    } else if (width >= 40 && height >= 40) {
      this._plot.setSize({ width, height });
    }
  }

  private _longest(): ILine | null {
    const lines = this._view?.lines ?? [];
    const lit = lines.find(({ key }) => key === this._view?.lit);
    return (
      lit ??
      lines.reduce<ILine | null>(
        (best, one) => (one.x.length > (best?.x.length ?? 0) ? one : best),
        null
      )
    );
  }

  private _all(): [number, number] {
    const x = this._plot?.data[0] ?? [];
    return [Number(x[0] ?? 0), Number(x[x.length - 1] ?? 1)];
  }

  private _ends(): [number, number] {
    const { min, max } = this._plot?.scales['x'] ?? {};
    const [low, high] = this._all();
    return [min ?? low, max ?? high];
  }

  private _whole(): { min: number; max: number } {
    const [min, max] = this._view?.range ?? this._all();
    return { min, max };
  }

  private _xRange(min: number | null, max: number | null): [number, number] {
    const range = this._view?.range;
    if (range) {
      return [...range];
    }
    const [from, to] = [min ?? 0, max ?? 1];
    if (to > from) {
      return [from, to];
    }
    const by = this._view?.axis === 'step' ? 1 : 1000;
    return [from - by, from + by];
  }

  private _yRange(min: number | null, max: number | null): [number, number] {
    const { ignoresOutliers, lines, range } = this._view!;
    return yRange(this._scale, min, max, ignoresOutliers ? lines : null, range);
  }

  private _first: number[] = [];
  private _isDisposed = false;
  private _isKeyboard = false;
  private _observer: ResizeObserver;
  private _plot: uPlot | null = null;
  private _scale: IYScale = yScaleOf([], false);
  private _view: IChartView | null = null;
  private _watch: IDisposable;
}
