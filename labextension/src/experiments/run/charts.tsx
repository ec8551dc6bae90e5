import * as React from 'react';

import { Board } from '../plot/board';
import { PlotControls } from '../plot/controls';
import { usePlotSettings } from '../plot/settings';
import { visible } from '../wording';
import { useRun, useRunContext } from './context';

/** The metrics of the run's program, or of the machine it runs on, as curves. */
export function Charts(props: {
  readonly metrics: readonly string[];
  readonly empty: string;
}): React.ReactElement {
  const { metrics, empty } = props;
  const { model, prefix, trans } = useRunContext();
  const run = useRun();
  const settings = usePlotSettings();
  const { axis } = settings.value;
  // Before the charts ask for what they show.
  React.useMemo(() => (model.curves.axis = axis), [axis]);
  const names = React.useMemo(
    () => [{ key: run.id, label: visible(run.name) || run.id, index: 0 }],
    [run.id, run.name]
  );
  if (metrics.length === 0) {
    return (
      <div className="jp-AidpRun-empty">
        <p>{empty}</p>
      </div>
    );
  }
  return (
    <Board
      metrics={metrics}
      curves={model.curves}
      names={names}
      settings={settings.value}
      group={`${prefix}-${axis}`}
      lit={null}
      prefix={prefix}
      trans={trans}
      controls={search => (
        <PlotControls settings={settings} trans={trans}>
          {search}
        </PlotControls>
      )}
    />
  );
}
