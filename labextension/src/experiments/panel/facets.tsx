import * as React from 'react';

import { closeIcon } from '@jupyterlab/ui-components';

import type { Facet } from '../list/filter';
import { FACETS } from '../list/filter';
import { stateName, stateSign } from '../wording';
import { useView } from './context';

/** Which runs are quickly asked for, and what else the list leaves out. */
export function Facets(): React.ReactElement {
  const { trans, view } = useView();
  const { cell, facet, hidden, showsHidden, stage } = view;
  return (
    <div
      className="jp-AidpExp-facets"
      role="group"
      aria-label={trans.__('Which runs')}
    >
      {FACETS.map(one => (
        <FacetButton key={one} of={one} isOn={facet === one} />
      ))}
      {cell && (
        <button
          type="button"
          className="jp-AidpExp-facet"
          aria-pressed
          title={trans.__(
            'Only the runs of one cell of %1. Show all again.',
            cell.notebook
          )}
          onClick={() => view.clearCell()}
        >
          {trans.__('one cell')}
          <closeIcon.react tag="span" width="10px" />
        </button>
      )}
      {hidden.length > 0 && stage === 'active' && (
        <button
          type="button"
          className="jp-AidpExp-facet"
          aria-pressed={showsHidden}
          title={trans.__('Show the runs that you have hidden, too')}
          onClick={() => view.showHidden(!showsHidden)}
        >
          {trans.__('%1 hidden', hidden.length)}
        </button>
      )}
      {stage === 'deleted' && (
        <button
          type="button"
          className="jp-AidpExp-facet"
          aria-pressed
          title={trans.__(
            'Only deleted runs are shown. Show the others again.'
          )}
          onClick={() => view.setStage('active')}
        >
          {trans.__('deleted')}
          <closeIcon.react tag="span" width="10px" />
        </button>
      )}
    </div>
  );
}

function FacetButton(props: {
  readonly of: Facet;
  readonly isOn: boolean;
}): React.ReactElement {
  const { of, isOn } = props;
  const { trans, view } = useView();
  const name = stateName(of, trans);
  return (
    <button
      type="button"
      className="jp-AidpExp-facet"
      aria-pressed={isOn}
      aria-label={trans.__('Only %1', name)}
      title={trans.__('Only %1', name)}
      onClick={() => view.setFacet(isOn ? null : of)}
    >
      <span className="jp-AidpExp-state" data-state={of} aria-hidden>
        {stateSign(of)}
      </span>
      <span className="jp-AidpExp-facetName">{name}</span>
    </button>
  );
}
