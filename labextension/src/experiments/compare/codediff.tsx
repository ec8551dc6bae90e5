import * as React from 'react';

import { Select } from '../../shared/controls';
import type { AidpError } from '../../shared/request';
import { asAidpError } from '../../shared/request';
import { Panel } from '../../shared/panel';
import { Toggle } from '../plot/controls';
import { DiffText } from '../run/difftext';
import type { ICellDiff, ICodeDiff } from '../wire';
import { nameOf, useComparison, useCompareContext } from './context';

/** How the code of two of the runs differs. */
export function CodeDifference(): React.ReactElement {
  const { api, model, trans } = useCompareContext();
  const { runs } = useComparison();
  const other = runs.find(({ id }) => id !== model.base)?.id ?? '';
  const [wantedA, setA] = React.useState('');
  const [wantedB, setB] = React.useState('');
  const [said, setSaid] = React.useState<ICodeDiff | AidpError | null>(null);
  const [turn, again] = React.useReducer((count: number) => count + 1, 0);
  const [isAll, setAll] = React.useState(false);
  const isHere = (id: string) => runs.some(run => run.id === id);
  const a = isHere(wantedA) ? wantedA : (model.base ?? '');
  const b = isHere(wantedB) ? wantedB : other;
  React.useEffect(() => {
    setSaid(null);
    if (!a || !b || a === b) {
      return;
    }
    const abort = new AbortController();
    const { signal } = abort;
    api.diff(a, b, signal).then(
      diff => !signal.aborted && setSaid(diff),
      (reason: unknown) => !signal.aborted && setSaid(asAidpError(reason))
    );
    return () => abort.abort();
  }, [a, b, turn]);
  const options = runs.map(run => [run.id, nameOf(run).slice(0, 60)] as const);
  return (
    <>
      <div className="jp-AidpPlot-controls">
        <Select
          label={trans.__('From the code of')}
          value={a}
          options={options}
          onChange={setA}
        />
        →
        <Select
          label={trans.__('To the code of')}
          value={b}
          options={options}
          onChange={setB}
        />
        <Toggle
          label={trans.__('also what is the same')}
          isOn={isAll}
          onChange={setAll}
        />
      </div>
      {a === b ? (
        <p className="jp-AidpRun-quiet">{trans.__('Choose two runs.')}</p>
      ) : said === null ? (
        <Panel state={{ kind: 'loading' }} trans={trans} />
      ) : 'cells' in said ? (
        <Shown diff={said} isAll={isAll} />
      ) : (
        <Panel
          state={{ kind: 'error', error: said, retry: again }}
          trans={trans}
        />
      )}
    </>
  );
}

function Shown(props: {
  readonly diff: ICodeDiff;
  readonly isAll: boolean;
}): React.ReactElement {
  const { diff, isAll } = props;
  const { trans } = useCompareContext();
  const { cells, commit_a, commit_b, patch_diff } = diff;
  const shown = cells.filter(({ state }) => isAll || state !== 'same');
  const same = cells.length - shown.length;
  const states: Record<ICellDiff['state'], string> = {
    same: trans.__('the same'),
    changed: trans.__('changed'),
    only_a: trans.__('only in the first'),
    only_b: trans.__('only in the second')
  };
  return (
    <>
      <p>
        {commit_a === commit_b
          ? commit_a
            ? trans.__('Both at commit %1.', commit_a.slice(0, 7))
            : trans.__('No commit is known.')
          : trans.__(
              'Commits %1 and %2.',
              commit_a?.slice(0, 7) ?? '–',
              commit_b?.slice(0, 7) ?? '–'
            )}{' '}
        {same > 0 &&
          trans._n('%1 cell is the same.', '%1 cells are the same.', same)}
      </p>
      {shown.length === 0 && !patch_diff && (
        <p className="jp-AidpRun-quiet">
          {cells.length > 0
            ? trans.__('The code is the same.')
            : trans.__('No code is kept of these runs.')}
        </p>
      )}
      {shown.map(({ cell_id, diff: text, state }, index) => (
        <section
          key={`${cell_id} ${index}`}
          aria-label={trans.__('Cell %1: %2', index + 1, states[state])}
        >
          <h4>{states[state]}</h4>
          <DiffText
            text={text}
            label={trans.__('Cell %1: %2', index + 1, states[state])}
            trans={trans}
          />
        </section>
      ))}
      {patch_diff && (
        <section aria-label={trans.__('What was not committed')}>
          <h4>{trans.__('What was not committed')}</h4>
          <DiffText
            text={patch_diff}
            label={trans.__('What was not committed')}
            trans={trans}
          />
        </section>
      )}
    </>
  );
}
