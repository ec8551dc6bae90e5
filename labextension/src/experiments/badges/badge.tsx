import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import { CommandIDs } from '../tokens';
import type { ICellRuns } from '../wire';
import {
  metricText,
  stateName,
  stateOf,
  stateSign,
  stateTitle,
  visible
} from '../wording';

export interface IBadgeOptions {
  readonly commands: CommandRegistry;
  readonly trans: TranslationBundle;
  readonly notebook: () => string;
  readonly cell: string;
}

/** What a cell made, in a line below it: how its last run is, what it measured, and the way to all of them. */
export class Badge extends ReactWidget {
  constructor(
    private _options: IBadgeOptions,
    private _made: ICellRuns
  ) {
    super();
    this.addClass('jp-AidpExp-badge');
  }

  set made(made: ICellRuns) {
    this._made = made;
    this.update();
  }

  protected override render(): React.ReactElement {
    const { commands, trans, notebook, cell } = this._options;
    const { runs, last } = this._made;
    const state = stateOf(last);
    const metric = keyMetric(last.values);
    const words = stateName(state, trans);
    const open = () =>
      void (runs === 1
        ? commands.execute(CommandIDs.openRun, { runs: [last.id] })
        : commands.execute(CommandIDs.showCell, {
            notebook: last.cell?.notebook ?? notebook(),
            cell_id: cell,
            experiment: last.experiment_id
          }));
    const title = [
      `${visible(last.name)}: ${stateTitle(last, trans)}`,
      runs === 1
        ? trans.__('Open this run')
        : trans.__('Show the %1 runs of this cell', runs)
    ].join('\n');
    return (
      <button
        type="button"
        className="jp-AidpExp-badgeButton"
        data-state={state}
        title={title}
        // The notebook's own keys are not for who is at the badge.
        onKeyDown={event => event.stopPropagation()}
        onClick={open}
      >
        <span className="jp-AidpExp-state" data-state={state} aria-hidden>
          {stateSign(state)}
        </span>
        <span className="jp-AidpPanel-hidden">{words}</span>
        <span className="jp-AidpExp-badgeName">{visible(last.name)}</span>
        {metric && (
          <span className="jp-AidpExp-badgeMetric">
            {metric[0]} <b>{metricText(metric[1])}</b>
          </span>
        )}
        {runs > 1 && (
          <span className="jp-AidpExp-badgeCount">
            {trans._n('%1 run', '%1 runs', runs)}
          </span>
        )}
      </button>
    );
  }
}

/** The metric that says most: the server gives those first that are in most runs. */
function keyMetric(
  values: ICellRuns['last']['values']
): readonly [string, number | string] | null {
  for (const [key, value] of Object.entries(values)) {
    const name = /^metrics\.(.*)$/s.exec(key)?.[1];
    if (name && value !== null && !name.startsWith('system/')) {
      return [name, value];
    }
  }
  return null;
}
