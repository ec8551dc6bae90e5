import * as React from 'react';

import type { IRow } from '../wire';
import { stateOf, stateSign, stateTitle } from '../wording';
import { usePanel } from './context';

/** How a run is: a sign, with words. */
export function State({
  row
}: {
  readonly row: Pick<IRow, 'status' | 'diverged' | 'ended'>;
}): React.ReactElement {
  const { trans } = usePanel();
  const state = stateOf(row);
  const title = stateTitle(row, trans);
  return (
    <span
      className="jp-AidpExp-state"
      data-state={state}
      role="img"
      aria-label={title}
      title={title}
    >
      {stateSign(state)}
    </span>
  );
}
