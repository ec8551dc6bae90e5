import * as React from 'react';

import type { AidpError } from '../../shared/request';
import { asAidpError } from '../../shared/request';
import { Button, Panel } from '../../shared/panel';
import { openDialog } from '../run/dialog';
import type { IRow } from '../wire';
import type { ICompareContext } from './context';
import { nameOf } from './context';
import { filterFor } from './filter';

const SHOWN = 50;

/** Choose more runs of the same experiments. */
export function openAddDialog(context: ICompareContext): void {
  const { trans } = context;
  openDialog(trans.__('Add runs to the comparison'), trans, close => (
    <Add context={context} close={close} />
  ));
}

function Add(props: {
  readonly context: ICompareContext;
  readonly close: () => void;
}): React.ReactElement {
  const { context, close } = props;
  const { api, format, model, trans } = context;
  const [words, setWords] = React.useState('');
  const [found, setFound] = React.useState<readonly IRow[] | AidpError | null>(
    null
  );
  const [chosen, setChosen] = React.useState<ReadonlySet<string>>(new Set());
  const [turn, again] = React.useReducer((count: number) => count + 1, 0);
  React.useEffect(() => {
    const abort = new AbortController();
    const { signal } = abort;
    const rows = model.comparison.value?.runs ?? [];
    const timer = setTimeout(() => {
      api
        .runs(
          {
            experiments: [...new Set(rows.map(row => row.experiment_id))],
            filter: filterFor(words),
            order_by: [],
            view: 'active',
            offset: 0,
            limit: SHOWN,
            columns: []
          },
          signal
        )
        .then(
          page => !signal.aborted && setFound(page.runs),
          (reason: unknown) => !signal.aborted && setFound(asAidpError(reason))
        );
    }, 150);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [words, turn]);
  const rows = Array.isArray(found)
    ? (found as readonly IRow[]).filter(({ id }) => !model.runs.includes(id))
    : null;
  return (
    <form
      onSubmit={event => {
        event.preventDefault();
        model.add([...chosen]);
        close();
      }}
    >
      <input
        type="search"
        className="jp-AidpField"
        autoFocus
        aria-label={trans.__('Name of a run')}
        placeholder={trans.__('Search by name')}
        value={words}
        onChange={({ currentTarget }) => setWords(currentTarget.value)}
      />
      <div className="jp-AidpExpDialog-list" aria-live="polite">
        {rows === null ? (
          <Panel
            state={
              found
                ? { kind: 'error', error: found as AidpError, retry: again }
                : { kind: 'loading' }
            }
            trans={trans}
          />
        ) : rows.length === 0 ? (
          <p className="jp-AidpRun-quiet">
            {trans.__('There is no other run like that.')}
          </p>
        ) : (
          rows.map(run => (
            <label key={run.id} title={nameOf(run)}>
              <input
                type="checkbox"
                checked={chosen.has(run.id)}
                onChange={({ currentTarget: { checked } }) =>
                  setChosen(before => {
                    const after = new Set(before);
                    after[checked ? 'add' : 'delete'](run.id);
                    return after;
                  })
                }
              />
              <span>{nameOf(run)}</span>
              {run.start_ms !== null && (
                <small>
                  {format.ago(new Date(run.start_ms).toISOString())}
                </small>
              )}
            </label>
          ))
        )}
      </div>
      <div className="jp-AidpExpDialog-buttons">
        <Button onClick={close}>{trans.__('Cancel')}</Button>
        <Button
          type="submit"
          className="jp-mod-accept"
          disabled={chosen.size === 0}
        >
          {trans.__('Add')}
        </Button>
      </div>
    </form>
  );
}
