import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { AidpError } from '../../shared/request';
import { asAidpError } from '../../shared/request';
import { Button, Panel, Problem } from '../../shared/panel';
import type { ICurve } from '../wire';
import { Bars } from './bars';
import { Canvas } from './canvas';
import type { Range } from './chart';
import type { Curves } from './curves';
import { Toggle } from './controls';
import { DataTable } from './datatable';
import type { ILine, ISeriesName } from './lines';
import { linesOf } from './lines';
import { exactValue, formatValue } from './numbers';
import type { IPlotSettings } from './settings';

export interface ICardProps {
  readonly metric: string;
  /** As its group calls it. */
  readonly title: string;
  readonly curves: Curves;
  readonly names: readonly ISeriesName[];
  readonly settings: IPlotSettings;
  /** Charts with the same one point at the same x. */
  readonly group: string;
  /** The run that is pointed at elsewhere. */
  readonly lit: string | null;
  readonly trans: TranslationBundle;
  /** The lines' values where the cursor is, by their keys; null when it leaves. */
  readonly onValues?: (
    values: ReadonlyMap<string, number | null> | null
  ) => void;
}

/** One metric's chart with its name, its value and what can be done with it. */
export function ChartCard(props: ICardProps): React.ReactElement {
  const { curves, metric, names, settings, title, trans } = props;
  const [isLarge, setLarge] = React.useState(false);
  const [isTable, setTable] = React.useState(false);
  const [log, setLog] = React.useState<boolean | null>(null);
  const isLog = log ?? settings.isLog;
  const { state, fine, range, setRange, fineError } = useCurveData(
    curves,
    metric
  );
  const shown = fine ?? state.curves;
  const isSingle = shown?.every(({ total }) => total === 1) ?? false;
  const lines = React.useMemo(
    () =>
      linesOf(shown ?? [], names, {
        axis: settings.axis,
        isLog: isLog && !isSingle,
        showsEnvelope: settings.showsEnvelope,
        ignoresOutliers: settings.ignoresOutliers,
        smoothing: { kind: settings.kind, weight: settings.weight }
      }),
    [shown, names, settings, isLog, isSingle]
  );
  const isEmpty = shown !== null && lines.length === 0;
  return (
    <figure
      className="jp-AidpPlot-card"
      data-metric={metric}
      data-large={isLarge}
      aria-label={metric}
    >
      <figcaption>
        <span className="jp-AidpPlot-name" title={metric}>
          {title}
        </span>
        <Last lines={lines} curves={shown} />
        <span className="jp-AidpPlot-tools">
          <Toggle
            label={trans.__('log')}
            title={trans.__('Logarithmic y axis of %1', metric)}
            isOn={isLog}
            onChange={setLog}
          />
          <Toggle
            label={trans.__('table')}
            title={trans.__('The numbers of %1 as a table', metric)}
            isOn={isTable}
            onChange={setTable}
          />
          <Toggle
            label={isLarge ? '⤡' : '⤢'}
            title={
              isLarge
                ? trans.__('Make %1 smaller', metric)
                : trans.__('Make %1 larger', metric)
            }
            isOn={isLarge}
            onChange={setLarge}
          />
        </span>
      </figcaption>
      <div className="jp-AidpPlot-body">
        {state.error && !shown ? (
          <Panel
            state={{
              kind: 'error',
              error: state.error,
              retry: () => curves.reload(metric)
            }}
            trans={trans}
          />
        ) : !shown ? (
          <Panel state={{ kind: 'loading' }} trans={trans} />
        ) : isEmpty ? (
          <p className="jp-AidpPlot-none">{trans.__('No values.')}</p>
        ) : isTable ? (
          <DataTable
            label={trans.__('Values of %1', metric)}
            lines={lines}
            axis={settings.axis}
            trans={trans}
          />
        ) : isSingle ? (
          <Bars lines={lines} trans={trans} />
        ) : (
          <Canvas
            {...props}
            lines={lines}
            isLog={isLog}
            range={range}
            onZoom={setRange}
          />
        )}
      </div>
      <Foot
        lines={lines}
        curves={shown}
        isLog={isLog}
        range={range}
        error={fineError}
        trans={trans}
        onReset={() => setRange(null)}
      />
    </figure>
  );
}

/** A metric's curves, and those of the part that is looked at closely. */
function useCurveData(curves: Curves, metric: string) {
  const [, again] = React.useReducer((count: number) => count + 1, 0);
  const [range, setRange] = React.useState<Range | null>(null);
  const [fine, setFine] = React.useState<readonly ICurve[] | null>(null);
  const [fineError, setError] = React.useState<AidpError | null>(null);
  React.useEffect(() => {
    const look = (_: Curves, changed: string | null) => {
      if (changed === null) {
        setRange(null);
      }
      if (changed === null || changed === metric) {
        again();
      }
    };
    curves.changed.connect(look);
    return () => void curves.changed.disconnect(look);
  }, [curves, metric]);
  const state = curves.get(metric);
  React.useEffect(() => {
    setFine(null);
    setError(null);
    const isThin = state.curves?.some(({ total, x }) => total > x.length);
    if (!range || !isThin) {
      return;
    }
    const abort = new AbortController();
    curves.finer(metric, range[0], range[1], abort.signal).then(
      found => !abort.signal.aborted && setFine(found),
      (reason: unknown) =>
        !abort.signal.aborted && setError(asAidpError(reason))
    );
    return () => abort.abort();
    // What comes in at the end changes nothing of the part that is looked at.
  }, [curves, metric, range]);
  return { state, fine: range && fine, range, setRange, fineError };
}

/** The last value, where there is one line. */
function Last(props: {
  readonly lines: readonly ILine[];
  readonly curves: readonly ICurve[] | null;
}): React.ReactElement | null {
  const [line] = props.lines;
  if (!line || props.lines.length > 1) {
    return null;
  }
  const values = props.curves?.find(({ run }) => run === line.key)?.y ?? [];
  const last = values[values.length - 1];
  const said = last === null ? 'NaN' : last;
  return (
    <span className="jp-AidpPlot-last" title={exactValue(said)}>
      {formatValue(said)}
    </span>
  );
}

/** What a chart does not show, and the way back to the whole. */
function Foot(props: {
  readonly lines: readonly ILine[];
  readonly curves: readonly ICurve[] | null;
  readonly isLog: boolean;
  readonly range: Range | null;
  readonly error: AidpError | null;
  readonly trans: TranslationBundle;
  readonly onReset: () => void;
}): React.ReactElement | null {
  const { curves, error, isLog, lines, onReset, range, trans } = props;
  const keys = new Set(lines.map(({ key }) => key));
  const drawn = curves?.filter(({ run }) => keys.has(run)) ?? [];
  const bad = drawn.reduce((sum, one) => sum + one.not_finite, 0);
  const hasLow =
    isLog && drawn.some(({ y }) => y.some(one => one !== null && one <= 0));
  if (!bad && !hasLow && !range && !error) {
    return null;
  }
  return (
    <div className="jp-AidpPlot-foot">
      {bad > 0 && (
        <span>
          ✕{' '}
          {trans._n(
            '%1 value is not a finite number',
            '%1 values are not finite numbers',
            bad
          )}
        </span>
      )}
      {hasLow && (
        <span>{trans.__('Zero and less have no place on a log axis')}</span>
      )}
      {error && <Problem message={error.message} nextStep={error.nextStep} />}
      {range && <Button onClick={onReset}>{trans.__('Show all')}</Button>}
    </div>
  );
}
