import { ellipsesIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IconButton } from '../../shared/controls';
import { Button } from '../../shared/panel';
import { CommandIDs, MOST_COMPARED } from '../tokens';
import { useView } from './context';

/** What can be done with the runs that are selected. */
export function Selected(): React.ReactElement | null {
  const { commands, openRunMenu, trans, view } = useView();
  const { size } = view.selection;
  if (size === 0) {
    return null;
  }
  const run = (command: string) => () => void commands.execute(command);
  const isTooMany = size > MOST_COMPARED;
  return (
    <div
      className="jp-AidpExp-selected"
      role="toolbar"
      aria-label={trans.__('Selected runs')}
    >
      <span className="jp-AidpExp-grow" role="status">
        {trans._n('%1 selected', '%1 selected', size)}
      </span>
      {view.stage === 'deleted' ? (
        <Button onClick={run(CommandIDs.restoreRuns)}>
          {trans.__('restore')}
        </Button>
      ) : (
        <>
          <Button
            disabled={size < 2 || isTooMany}
            title={
              isTooMany
                ? trans.__('At most %1 runs are compared', MOST_COMPARED)
                : size < 2
                  ? trans.__('Select another run to compare this one with')
                  : undefined
            }
            onClick={run(CommandIDs.compare)}
          >
            {trans.__('compare')}
          </Button>
          <Button onClick={run(CommandIDs.openRun)}>{trans.__('open')}</Button>
        </>
      )}
      <IconButton
        icon={ellipsesIcon}
        label={trans.__('More to do with the selected runs')}
        hasMenu
        onClick={event => openRunMenu(event.currentTarget)}
      />
    </div>
  );
}
