import * as React from 'react';

import { Select } from '../../shared/controls';
import { Button } from '../../shared/panel';
import { lookOf, ramp } from '../plot/palette';
import { useIsDark } from '../plot/theme';
import type { Brush, Brushes } from './brush';
import { firstAxes, isInside, movedBy } from './brush';
import { Axes, AxisChoice } from './axes';
import { nameOf, useComparison, useCompareContext } from './context';
import type { IDimension, IScale } from './dimensions';
import { dimensionsOf, scaleOf, told } from './dimensions';
import { useWidth } from './width';

export const HEIGHT = 300;
export const TOP = 34;
export const BOTTOM = 22;
/** An axis and what is written beside it has so many pixels at least. */
const NARROWEST = 104;
const SIDE = 40;

/** Where on the page a place on an axis is. */
export function yOf(place: number): number {
  return HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM);
}

/** Runs as lines through axes of what they were given and what they reached. */
export function Parallel(): React.ReactElement {
  const { model, trans } = useCompareContext();
  const comparison = useComparison();
  const isDark = useIsDark();
  const dimensions = React.useMemo(
    () => dimensionsOf(comparison),
    [comparison]
  );
  const [chosen, setChosen] = React.useState<readonly string[] | null>(null);
  const [logs, setLogs] = React.useState<ReadonlySet<string>>(new Set());
  const [brushes, setBrushes] = React.useState<Brushes>(new Map());
  const [colour, setColour] = React.useState('');
  const [lit, setLit] = React.useState<string | null>(null);
  const [host, width] = useWidth();
  const order = chosen ?? firstAxes(dimensions);
  const axes = order.flatMap(id => dimensions.find(one => one.id === id) ?? []);
  const scales = new Map(
    dimensions.map(one => [one.id, scaleOf(one, logs.has(one.id))] as const)
  );
  const whole = Math.max(width, axes.length * NARROWEST);
  const xOf = (index: number) =>
    axes.length < 2
      ? whole / 2
      : SIDE + (index * (whole - 2 * SIDE)) / (axes.length - 1);
  const brush = (id: string, one: Brush | null) => {
    const after = new Map(brushes);
    if (one) {
      after.set(id, one);
    } else {
      after.delete(id);
    }
    setBrushes(after);
  };
  const runs = comparison.runs
    .map((run, index) => ({ run, index }))
    .filter(({ run }) => !model.hidden.has(run.id));
  const inside = runs.filter(({ index }) =>
    isInside(index, axes, scales, brushes)
  );
  const isIn = new Set(inside.map(({ index }) => index));
  const by = dimensions.find(({ id, isNumeric }) => id === colour && isNumeric);
  const colorOf = (index: number) => {
    const at = by && scales.get(by.id)!.at(by.values[index] ?? null);
    const number = model.lookOf(comparison.runs[index]!.id);
    return by
      ? typeof at === 'number'
        ? ramp(at, isDark)
        : 'var(--jp-ui-font-color3)'
      : lookOf(number, isDark).color;
  };
  return (
    <div className="jp-AidpParallel">
      <div className="jp-AidpPlot-controls">
        <AxisChoice
          dimensions={dimensions}
          chosen={order}
          onChoose={setChosen}
        />
        <Select
          label={trans.__('Colour by')}
          value={colour}
          options={[
            ['', trans.__('colour: run')],
            ...dimensions
              .filter(({ isNumeric }) => isNumeric)
              .map(one => [one.id, one.label.slice(0, 60)] as const)
          ]}
          onChange={setColour}
        />
        {brushes.size > 0 && (
          <>
            <span aria-live="polite">
              {trans.__('%1 of %2 runs', inside.length, runs.length)}
            </span>
            <Button onClick={() => setBrushes(new Map())}>
              {trans.__('Show all')}
            </Button>
          </>
        )}
      </div>
      {axes.length === 0 ? (
        <p className="jp-AidpRun-quiet">
          {trans.__('The runs differ in nothing that could be an axis.')}
        </p>
      ) : (
        <div className="jp-AidpParallel-scroll" ref={host}>
          <svg
            width={whole}
            height={HEIGHT}
            role="group"
            aria-label={trans.__('Runs as lines through %1 axes', axes.length)}
          >
            <g>
              {runs.map(({ index, run }) => (
                <Line
                  key={run.id}
                  title={`${nameOf(run)}: ${axes
                    .map(
                      ({ label, values }) =>
                        `${label} ${told(values[index] ?? null)}`
                    )
                    .join(', ')}`}
                  places={axes.map(({ id, values }) =>
                    scales.get(id)!.at(values[index] ?? null)
                  )}
                  xOf={xOf}
                  color={colorOf(index)}
                  dash={by ? [] : lookOf(model.lookOf(run.id), isDark).dash}
                  isDim={!isIn.has(index) || (lit !== null && lit !== run.id)}
                  onLight={isLit => setLit(isLit ? run.id : null)}
                />
              ))}
            </g>
            <Axes
              axes={axes}
              scales={scales}
              brushes={brushes}
              xOf={xOf}
              onBrush={brush}
            />
          </svg>
          <div className="jp-AidpParallel-heads" style={{ width: whole }}>
            {axes.map((one, index) => (
              <Head
                key={one.id}
                axis={one}
                isLog={scales.get(one.id)!.isLog}
                x={xOf(index)}
                step={axes.length > 1 ? xOf(1) - xOf(0) : whole}
                onMove={by => setChosen(movedBy(order, one.id, by))}
                onRemove={() => setChosen(order.filter(id => id !== one.id))}
                onLog={() => {
                  const after = new Set(logs);
                  after[logs.has(one.id) ? 'delete' : 'add'](one.id);
                  setLogs(after);
                }}
              />
            ))}
          </div>
        </div>
      )}
      <Limits axes={axes} scales={scales} brushes={brushes} onBrush={brush} />
    </div>
  );
}

function Line(props: {
  readonly title: string;
  readonly places: readonly (number | null)[];
  readonly xOf: (index: number) => number;
  readonly color: string;
  readonly dash: readonly number[];
  readonly isDim: boolean;
  readonly onLight: (isLit: boolean) => void;
}): React.ReactElement {
  const { title, places, xOf, color, dash, isDim, onLight } = props;
  let path = '';
  let isBroken = true;
  places.forEach((place, index) => {
    if (place !== null) {
      path += `${isBroken ? 'M' : 'L'}${xOf(index).toFixed(1)} ${yOf(place).toFixed(1)}`;
    }
    isBroken = place === null;
  });
  return (
    <g
      className="jp-AidpParallel-line"
      data-dim={isDim}
      onMouseEnter={() => onLight(true)}
      onMouseLeave={() => onLight(false)}
    >
      <title>{title}</title>
      <path d={path} className="jp-AidpParallel-target" />
      <path d={path} stroke={color} strokeDasharray={dash.join(' ')} />
      {places.map(
        (place, index) =>
          place !== null && (
            <circle
              key={index}
              cx={xOf(index)}
              cy={yOf(place)}
              r="3"
              fill={color}
            />
          )
      )}
    </g>
  );
}

/** An axis' name. It is dragged to another place, or moved there with the arrow keys. */
function Head(props: {
  readonly axis: IDimension;
  readonly isLog: boolean;
  readonly x: number;
  readonly step: number;
  readonly onMove: (by: number) => void;
  readonly onRemove: () => void;
  readonly onLog: () => void;
}): React.ReactElement {
  const { axis, isLog, x, step, onMove, onRemove, onLog } = props;
  const { trans } = useCompareContext();
  const began = React.useRef<number | null>(null);
  const act: Record<string, () => void> = {
    ArrowLeft: () => onMove(-1),
    ArrowRight: () => onMove(1),
    Delete: onRemove,
    Backspace: onRemove,
    Enter: onLog,
    ' ': onLog
  };
  const help = trans.__(
    'Drag it, or arrow keys, to move it; Enter for a log axis; Delete takes it away.'
  );
  return (
    <button
      type="button"
      className="jp-AidpParallel-head"
      style={{ left: x, maxWidth: Math.max(60, step - 8) }}
      title={`${axis.label}\n${help}`}
      aria-label={`${axis.label}. ${help}`}
      onDoubleClick={onLog}
      onPointerDown={event => {
        began.current = event.clientX;
        event.currentTarget.setPointerCapture(event.pointerId);
      }}
      onPointerMove={event => {
        const moved =
          began.current === null ? 0 : event.clientX - began.current;
        if (Math.abs(moved) > step * 0.6) {
          began.current = event.clientX;
          onMove(moved > 0 ? 1 : -1);
        }
      }}
      onPointerUp={() => (began.current = null)}
      onKeyDown={event => {
        if (act[event.key]) {
          act[event.key]!();
          event.preventDefault();
        }
      }}
    >
      {axis.label}
      {isLog && <small> {trans.__('log')}</small>}
    </button>
  );
}

/** What brushing does, in fields. */
function Limits(props: {
  readonly axes: readonly IDimension[];
  readonly scales: ReadonlyMap<string, IScale>;
  readonly brushes: Brushes;
  readonly onBrush: (id: string, brush: Brush | null) => void;
}): React.ReactElement | null {
  const { axes, scales, brushes, onBrush } = props;
  const { trans } = useCompareContext();
  if (axes.length === 0) {
    return null;
  }
  return (
    <details className="jp-AidpParallel-limits">
      <summary>{trans.__('Choose runs by limits')}</summary>
      {axes.map(({ id, label, values }) => {
        const scale = scales.get(id)!;
        const known = [...new Set(values.filter(one => one !== null))]
          .map(value => [scale.at(value) ?? 0, told(value)] as const)
          .sort(([a], [b]) => a - b);
        const [low, high] = brushes.get(id) ?? [0, 1];
        const options = known.map(
          ([at, words]) => [String(at), words.slice(0, 40)] as const
        );
        const lowest = known.find(([at]) => at >= low - 1e-9)?.[0] ?? 0;
        const highest =
          [...known].reverse().find(([at]) => at <= high + 1e-9)?.[0] ?? 1;
        const set = (from: number, to: number) =>
          onBrush(id, from <= 0 && to >= 1 ? null : [from, to]);
        return (
          <div key={id} className="jp-AidpRun-bar">
            <span title={label}>{label}</span>
            <Select
              label={trans.__('Least %1', label)}
              value={String(lowest)}
              options={options}
              onChange={value => set(Number(value), Math.max(high, +value))}
            />
            –
            <Select
              label={trans.__('Greatest %1', label)}
              value={String(highest)}
              options={options}
              onChange={value => set(Math.min(low, +value), Number(value))}
            />
          </div>
        );
      })}
    </details>
  );
}
