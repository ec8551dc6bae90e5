import * as React from 'react';

import { useSignals } from '../../shared/hooks';
import type { PanelState } from '../../shared/panel';
import { Panel, Problem } from '../../shared/panel';
import { Chooser } from './chooser';
import { ColumnsButton } from './columns';
import { usePanel, useView } from './context';
import { Empty, Tracking } from './empty';
import { Facets } from './facets';
import { Filter } from './filter';
import { Title } from './header';
import { Selected } from './selected';
import { Table } from './table';

/** What a panel shows. */
export function Content(): React.ReactElement {
  const { leave, model } = usePanel();
  useSignals(model.changed);
  const frame = React.useRef<HTMLDivElement>(null);
  const isKnown = model.list.value !== null;
  React.useEffect(() => focusFirst(frame.current!.parentElement!), [isKnown]);
  return (
    <div
      ref={frame}
      className="jp-AidpExp-frame"
      onKeyDown={({ key }) => key === 'Escape' && leave()}
    >
      <Title />
      <div className="jp-AidpExp-content">
        <All />
      </div>
    </div>
  );
}

function All(): React.ReactElement {
  const { model, trans, view } = useView();
  const { error, list } = model;
  const state: PanelState =
    error && !list.value
      ? { kind: 'error', error, retry: () => void list.load() }
      : list.value
        ? { kind: 'full' }
        : { kind: 'loading' };
  if (list.value && !view.experiment) {
    return (
      <>
        <Tracking />
        <Empty />
      </>
    );
  }
  return (
    <Panel state={state} trans={trans}>
      <Tracking />
      <Chooser />
      <Filter />
      <div className="jp-AidpExp-line">
        <Facets />
        <ColumnsButton />
      </div>
      <Runs />
      <Selected />
    </Panel>
  );
}

/** The list, or why there is none. */
function Runs(): React.ReactElement {
  const { trans, view, format } = useView();
  const { filterError, window: runs } = view;
  const { total, waiting } = runs;
  const error = filterError ? null : runs.error;
  const retry = () => void view.refresh();
  if (total === null && error) {
    return <Panel state={{ kind: 'error', error, retry }} trans={trans} />;
  }
  if (total === null) {
    return filterError ? (
      <></>
    ) : (
      <div className="jp-AidpExp-loading">
        <Panel state={{ kind: 'loading' }} trans={trans} />
      </div>
    );
  }
  return (
    <>
      {error && (
        <Problem
          message={error.message}
          nextStep={error.nextStep}
          action={{ label: trans.__('Try again'), run: retry }}
        />
      )}
      {waiting > 0 && (
        <button
          type="button"
          className="jp-AidpExp-waiting"
          onClick={() => runs.release()}
        >
          <span aria-hidden>↑ </span>
          {trans._n('%1 new run', '%1 new runs', waiting)}
        </button>
      )}
      {total === 0 ? <Empty /> : <Table />}
      <p className="jp-AidpPanel-hidden" role="status">
        {trans._n('%1 run', '%2 runs', total, format.integer(total))}
      </p>
    </>
  );
}

/** Move the focus from the panel as such to what one does first in it. */
export function focusFirst(panel: HTMLElement): void {
  if (document.activeElement === panel) {
    panel
      .querySelector<HTMLElement>(
        '.jp-AidpExp-grid, .jp-AidpPanel-message button'
      )
      ?.focus();
  }
}
