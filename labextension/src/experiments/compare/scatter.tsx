import * as React from 'react';

import { Select } from '../../shared/controls';
import { Toggle } from '../plot/controls';
import { lookOf, ramp } from '../plot/palette';
import { useIsDark } from '../plot/theme';
import { CommandIDs } from '../tokens';
import { nameOf, useComparison, useCompareContext } from './context';
import type { IDimension } from './dimensions';
import { canBeLog, dimensionsOf, scaleOf, told } from './dimensions';
import { useWidth } from './width';

const HEIGHT = 300;
const LEFT = 70;
const BOTTOM = 30;
const PAD = 14;
const TOP = 20;

/** Runs as points: what they were given against what they reached. */
export function Scatter(): React.ReactElement {
  const { model, trans } = useCompareContext();
  const comparison = useComparison();
  const dimensions = React.useMemo(
    () => dimensionsOf(comparison),
    [comparison]
  );
  const [wantedX, setX] = React.useState('');
  const [wantedY, setY] = React.useState('');
  const [colour, setColour] = React.useState('');
  const [logs, setLogs] = React.useState<readonly [boolean, boolean]>([
    false,
    false
  ]);
  const first = (kind: string) =>
    dimensions.find(one => one.differs && one.id.startsWith(kind)) ??
    dimensions.find(({ id }) => id.startsWith(kind));
  const find = (id: string) => dimensions.find(one => one.id === id);
  const x = find(wantedX) ?? first('params.') ?? dimensions[0];
  const y = find(wantedY) ?? first('metrics.') ?? dimensions[0];
  if (!x || !y) {
    return (
      <p className="jp-AidpRun-quiet">
        {trans.__('The runs have nothing that could be an axis.')}
      </p>
    );
  }
  const options = dimensions.map(
    one => [one.id, one.label.slice(0, 60)] as const
  );
  return (
    <>
      <div className="jp-AidpPlot-controls">
        {(
          [
            [trans.__('x'), x, setX, 0],
            [trans.__('y'), y, setY, 1]
          ] as const
        ).map(([name, one, set, index]) => (
          <span className="jp-AidpRun-bar" key={index}>
            {name}
            <Select
              label={trans.__('Axis %1', name)}
              value={one.id}
              options={options}
              onChange={set}
            />
            {canBeLog(one) && (
              <Toggle
                label={trans.__('log')}
                title={trans.__('Logarithmic %1 axis', name)}
                isOn={logs[index]}
                onChange={isOn =>
                  setLogs(index === 0 ? [isOn, logs[1]] : [logs[0], isOn])
                }
              />
            )}
          </span>
        ))}
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
      </div>
      <Points
        x={x}
        y={y}
        by={find(colour) ?? null}
        logs={logs}
        hidden={model.hidden}
      />
    </>
  );
}

function Points(props: {
  readonly x: IDimension;
  readonly y: IDimension;
  readonly by: IDimension | null;
  readonly logs: readonly [boolean, boolean];
  readonly hidden: ReadonlySet<string>;
}): React.ReactElement {
  const { x, y, by, logs, hidden } = props;
  const { app, model, trans } = useCompareContext();
  const { runs } = useComparison();
  const isDark = useIsDark();
  const [host, width] = useWidth();
  const [lit, setLit] = React.useState<number | null>(null);
  const [scaleX, scaleY] = [scaleOf(x, logs[0]), scaleOf(y, logs[1])];
  const scaleBy = by && scaleOf(by, false);
  const xAt = (place: number) => LEFT + PAD + place * (width - LEFT - 2 * PAD);
  const yAt = (place: number) =>
    HEIGHT - BOTTOM - PAD - place * (HEIGHT - BOTTOM - PAD - TOP);
  const points = runs.flatMap((run, index) => {
    const [px, py] = [
      scaleX.at(x.values[index] ?? null),
      scaleY.at(y.values[index] ?? null)
    ];
    if (px === null || py === null || hidden.has(run.id)) {
      return [];
    }
    const share = by && scaleBy!.at(by.values[index] ?? null);
    const color =
      by === null
        ? lookOf(model.lookOf(run.id), isDark).color
        : share === null
          ? 'var(--jp-ui-font-color3)'
          : ramp(share, isDark);
    const values = [x, y, ...(by ? [by] : [])].map(
      ({ label, values: all }) => `${label} ${told(all[index] ?? null)}`
    );
    const words = [nameOf(run), ...values].join(', ');
    return [{ run, index, color, words, left: xAt(px), top: yAt(py) }];
  });
  const left = runs.length - hidden.size - points.length;
  const shown = points.find(({ index }) => index === lit);
  return (
    <div className="jp-AidpScatter" ref={host}>
      <svg
        width={width}
        height={HEIGHT}
        role="group"
        aria-label={trans.__('%1 against %2', y.label, x.label)}
      >
        <g className="jp-AidpParallel-axes">
          {scaleX.ticks.map(([place, text]) => (
            <React.Fragment key={place}>
              <line
                x1={xAt(place)}
                x2={xAt(place)}
                y1={TOP}
                y2={HEIGHT - BOTTOM}
              />
              <text x={xAt(place)} y={HEIGHT - BOTTOM + 14} textAnchor="middle">
                {text.slice(0, 14)}
              </text>
            </React.Fragment>
          ))}
          {scaleY.ticks.map(([place, text]) => (
            <React.Fragment key={place}>
              <line x1={LEFT} x2={width - 4} y1={yAt(place)} y2={yAt(place)} />
              <text x={LEFT - 6} y={yAt(place) + 3} textAnchor="end">
                {text.slice(0, 10)}
              </text>
            </React.Fragment>
          ))}
          <text x={width - 4} y={HEIGHT - 2} textAnchor="end">
            {x.label.slice(0, 60)} →
          </text>
          <text x={4} y={12}>
            ↑ {y.label.slice(0, 60)}
          </text>
        </g>
        {points.map(({ run, index, color, words, left: cx, top: cy }) => (
          <circle
            key={run.id}
            className="jp-AidpScatter-point"
            cx={cx}
            cy={cy}
            r={lit === index ? 7 : 5}
            fill={color}
            role="button"
            tabIndex={0}
            aria-label={words}
            onMouseEnter={() => setLit(index)}
            onMouseLeave={() => setLit(null)}
            onFocus={() => setLit(index)}
            onBlur={() => setLit(null)}
            onKeyDown={event => {
              if (event.key === 'Enter') {
                void app.commands.execute(CommandIDs.openRun, {
                  runs: [run.id]
                });
              }
            }}
            onClick={() =>
              void app.commands.execute(CommandIDs.openRun, { runs: [run.id] })
            }
          />
        ))}
      </svg>
      {shown && (
        <div
          className="jp-AidpChart-tip"
          aria-hidden
          style={
            shown.left > width / 2
              ? { right: width - shown.left + 12, top: shown.top }
              : { left: shown.left + 12, top: shown.top }
          }
        >
          {shown.words}
        </div>
      )}
      {left > 0 && (
        <p className="jp-AidpRun-quiet">
          {trans._n(
            '%1 run has no place here: it lacks one of the two.',
            '%1 runs have no place here: they lack one of the two.',
            left
          )}
        </p>
      )}
    </div>
  );
}
