import { refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IconButton } from '../../shared/controls';
import type { PanelState } from '../../shared/panel';
import { Panel, Problem } from '../../shared/panel';
import { Section } from '../../shared/section';
import { Board } from '../plot/board';
import { PlotControls } from '../plot/controls';
import { toggled } from '../plot/groups';
import { usePlotSettings } from '../plot/settings';
import { isSystem } from '../run/keys';
import { CodeDifference } from './codediff';
import { nameOf, useComparison, useCompareContext } from './context';
import { Explain } from './explain';
import { Legend, LegendValues } from './legend';
import { FEWEST } from './model';
import { Parallel } from './parallel';
import { Scatter } from './scatter';
import { DifferenceTable } from './table';

type Part = 'differences' | 'curves' | 'parallel' | 'scatter' | 'code';

/** What a comparison's tab shows. */
export function CompareContent(): React.ReactElement {
  const { model, trans } = useCompareContext();
  const { comparison, runs } = model;
  const { error, value } = comparison;
  const isEmpty = runs.length < FEWEST;
  const state: PanelState = isEmpty
    ? {
        kind: 'empty',
        text: trans.__(
          'A comparison needs two runs at least. Select some in the list of experiments, then “compare”.'
        )
      }
    : value
      ? { kind: 'full' }
      : error
        ? { kind: 'error', error, retry: () => model.refresh() }
        : { kind: 'loading' };
  return (
    <div className="jp-AidpRun-frame">
      <Panel state={state} trans={trans}>
        {value && !isEmpty && (
          <>
            {error && (
              <Problem
                message={error.message}
                nextStep={error.nextStep}
                action={{
                  label: trans.__('Try again'),
                  run: () => model.refresh()
                }}
              />
            )}
            <Full />
          </>
        )}
      </Panel>
    </div>
  );
}

function Full(): React.ReactElement {
  const { model, prefix, trans } = useCompareContext();
  const { runs } = useComparison();
  const [open, setOpen] = React.useState<ReadonlySet<string>>(
    new Set<Part>(['differences', 'curves', 'parallel', 'scatter', 'code'])
  );
  const [values] = React.useState(() => new LegendValues());
  const [lit, setLit] = React.useState<string | null>(null);
  const part = (id: Part, title: string, body: React.ReactNode) => (
    <Section
      id={`${prefix}-${id}`}
      title={title}
      isOpen={open.has(id)}
      onToggle={isOpen => setOpen(before => toggled(before, id, isOpen))}
    >
      {body}
    </Section>
  );
  return (
    <>
      <div className="jp-AidpRun-header">
        <div className="jp-AidpRun-title">
          <h2>{trans._n('%1 run', '%1 runs compared', runs.length)}</h2>
          <span className="jp-AidpRun-buttons">
            <IconButton
              icon={refreshIcon}
              label={trans.__('Look at the runs again')}
              onClick={() => model.refresh()}
            />
          </span>
        </div>
        <Explain />
      </div>
      <div className="jp-AidpCompare-columns">
        <div className="jp-AidpCompare-main">
          {part('differences', trans.__('Differences'), <DifferenceTable />)}
          {part(
            'curves',
            trans.__('Curves'),
            <Curves lit={lit} values={values} />
          )}
          {part('parallel', trans.__('Parallel coordinates'), <Parallel />)}
          {part('scatter', trans.__('Scatter'), <Scatter />)}
          {part('code', trans.__('Code'), <CodeDifference />)}
        </div>
        <Legend values={values} onLight={setLit} />
      </div>
    </>
  );
}

function Curves(props: {
  readonly lit: string | null;
  readonly values: LegendValues;
}): React.ReactElement {
  const { lit, values } = props;
  const { model, prefix, trans } = useCompareContext();
  const { metrics, runs } = useComparison();
  const settings = usePlotSettings();
  const { axis } = settings.value;
  const [showsSystem, setSystem] = React.useState(false);
  React.useMemo(() => (model.curves.axis = axis), [axis]);
  const { hidden } = model;
  const names = React.useMemo(
    () =>
      runs
        .filter(({ id }) => !hidden.has(id))
        .map(run => ({
          key: run.id,
          label: nameOf(run),
          index: model.lookOf(run.id)
        })),
    [runs, hidden]
  );
  const onValues = React.useCallback(
    (said: ReadonlyMap<string, number | null> | null) => values.show(said),
    [values]
  );
  const all = metrics.map(({ key }) => key).sort();
  const own = all.filter(key => !isSystem(key));
  const system = all.length - own.length;
  if (all.length === 0) {
    return (
      <p className="jp-AidpRun-quiet">{trans.__('No metric was logged.')}</p>
    );
  }
  return (
    <Board
      metrics={showsSystem || own.length === 0 ? all : own}
      curves={model.curves}
      names={names}
      settings={settings.value}
      group={`${prefix}-${axis}`}
      lit={lit}
      prefix={`${prefix}-curves`}
      trans={trans}
      onValues={onValues}
      controls={search => (
        <PlotControls settings={settings} trans={trans}>
          {search}
          {system > 0 && own.length > 0 && (
            <button
              type="button"
              className="jp-AidpToggle"
              aria-pressed={showsSystem}
              onClick={() => setSystem(!showsSystem)}
            >
              {trans.__('system (%1)', system)}
            </button>
          )}
        </PlotControls>
      )}
    />
  );
}
