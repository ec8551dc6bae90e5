import { closeIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IconButton } from '../../shared/controls';
import { Button } from '../../shared/panel';
import { toggled } from '../plot/groups';
import { Swatch } from '../plot/controls';
import { formatValue } from '../plot/numbers';
import { lookOf } from '../plot/palette';
import { useIsDark } from '../plot/theme';
import { CommandIDs } from '../tokens';
import { stateName, stateOf, stateSign, stateTitle } from '../wording';
import { openAddDialog } from './add';
import { nameOf, useComparison, useCompareContext } from './context';
import { FEWEST, MOST } from './model';

/** The values where the cursor is in a chart; written by hand, as it follows each movement of the mouse. */
export class LegendValues {
  readonly places = new Map<string, HTMLElement>();

  show(values: ReadonlyMap<string, number | null> | null): void {
    for (const [run, place] of this.places) {
      const value = values?.get(run);
      place.textContent =
        value === undefined || value === null ? '' : formatValue(value);
    }
  }
}

/** The runs, each with its line's mark: what is drawn, what the others are compared with. */
export function Legend(props: {
  readonly values: LegendValues;
  readonly onLight: (run: string | null) => void;
}): React.ReactElement {
  const { values, onLight } = props;
  const context = useCompareContext();
  const { app, model, prefix, trans } = context;
  const { runs } = useComparison();
  const isDark = useIsDark();
  return (
    <aside className="jp-AidpCompare-legend" aria-label={trans.__('Runs')}>
      <ul>
        {runs.map(run => {
          const name = nameOf(run);
          const state = stateOf(run);
          const isBase = run.id === model.base;
          return (
            <li
              key={run.id}
              data-base={isBase}
              onMouseEnter={() => onLight(run.id)}
              onMouseLeave={() => onLight(null)}
              onFocus={() => onLight(run.id)}
              onBlur={() => onLight(null)}
            >
              <input
                type="checkbox"
                aria-label={trans.__('Draw %1', name)}
                checked={!model.hidden.has(run.id)}
                onChange={({ currentTarget }) =>
                  (model.hidden = toggled(
                    model.hidden,
                    run.id,
                    !currentTarget.checked
                  ))
                }
              />
              <Swatch {...lookOf(model.lookOf(run.id), isDark)} />
              <button
                type="button"
                className="jp-AidpRun-link jp-AidpCompare-name"
                title={`${name} · ${stateTitle(run, trans)}`}
                onClick={() =>
                  void app.commands.execute(CommandIDs.openRun, {
                    runs: [run.id]
                  })
                }
              >
                {name}
              </button>
              <span
                className="jp-AidpRun-sign"
                data-state={state}
                role="img"
                aria-label={stateName(state, trans)}
              >
                {stateSign(state)}
              </span>
              <span
                className="jp-AidpCompare-value"
                aria-hidden
                ref={place => {
                  if (place) {
                    values.places.set(run.id, place);
                  } else {
                    values.places.delete(run.id);
                  }
                }}
              />
              <label
                className="jp-AidpCompare-base"
                title={trans.__('Compare the others with %1', name)}
              >
                <input
                  type="radio"
                  name={`${prefix}-base`}
                  aria-label={trans.__('Compare the others with %1', name)}
                  checked={isBase}
                  onChange={() => (model.base = run.id)}
                />
                {trans.__('base')}
              </label>
              <IconButton
                icon={closeIcon}
                label={trans.__('Take %1 out of the comparison', name)}
                onClick={() => model.remove(run.id)}
              />
            </li>
          );
        })}
      </ul>
      <Button
        disabled={model.runs.length >= MOST}
        title={trans.__('%1 to %2 runs can be compared', FEWEST, MOST)}
        onClick={() => openAddDialog(context)}
      >
        {trans.__('Add runs…')}
      </Button>
    </aside>
  );
}
