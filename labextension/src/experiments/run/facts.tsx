import * as React from 'react';

import { Panel } from '../../shared/panel';
import { useSignals } from '../../shared/hooks';
import { exactValue, formatValue } from '../plot/numbers';
import { isSystem } from './keys';
import { PACKAGES_PATH } from './code';
import { useRun, useRunContext } from './context';
import { LongText, SearchedTable } from './table';

/** What the run was given: its parameters, and the data that it read. */
export function Parameters(): React.ReactElement {
  const { trans } = useRunContext();
  const { inputs, params } = useRun();
  const items = React.useMemo(
    () => Object.entries(params).sort(([a], [b]) => a.localeCompare(b)),
    [params]
  );
  return (
    <>
      <SearchedTable
        label={trans.__('Parameters')}
        searchLabel={trans.__('Search %1 parameters', items.length)}
        columns={[trans.__('parameter'), trans.__('value')]}
        items={items}
        wordsOf={([key, value]) => `${key} ${value}`}
        row={([key, value]) => (
          <tr key={key}>
            <th scope="row" title={key}>
              {key}
            </th>
            <td>
              <LongText text={value} trans={trans} />
            </td>
          </tr>
        )}
        empty={trans.__(
          'No parameter was logged. mlflow.log_param("lr", 0.1) or autolog would put it here.'
        )}
        trans={trans}
      />
      {inputs.length > 0 && (
        <>
          <h3>{trans.__('Data sets')}</h3>
          <table className="jp-AidpRun-table">
            <thead>
              <tr>
                <th scope="col">{trans.__('data set')}</th>
                <th scope="col">{trans.__('for')}</th>
                <th scope="col">{trans.__('digest')}</th>
              </tr>
            </thead>
            <tbody>
              {inputs.map(({ context, digest, name }, index) => (
                <tr key={index}>
                  <th scope="row" title={name}>
                    {name}
                  </th>
                  <td>{context}</td>
                  <td>
                    <code>{digest}</code>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </>
  );
}

/** The last, least and greatest values. */
export function Metrics(): React.ReactElement {
  const { format, trans } = useRunContext();
  const run = useRun();
  const items = React.useMemo(
    () =>
      run.metrics
        .filter(({ key }) => !isSystem(key))
        .sort((a, b) => a.key.localeCompare(b.key)),
    [run.metrics]
  );
  return (
    <SearchedTable
      label={trans.__('Metrics')}
      searchLabel={trans.__('Search %1 metrics', items.length)}
      columns={[
        trans.__('metric'),
        trans.__('last'),
        trans.__('least'),
        trans.__('greatest'),
        trans.__('step')
      ]}
      items={items}
      wordsOf={({ key }) => key}
      row={({ key, max, min, step, time_ms, value }) => (
        <tr key={key}>
          <th scope="row" title={key}>
            {key}
          </th>
          {[value, min, max].map((one, index) => (
            <td
              key={index}
              className="jp-AidpRun-number"
              title={exactValue(one)}
            >
              {formatValue(one)}
            </td>
          ))}
          <td
            className="jp-AidpRun-number"
            title={format.absolute(new Date(time_ms).toISOString())}
          >
            {step}
          </td>
        </tr>
      )}
      empty={trans.__(
        'No metric was logged. mlflow.log_metric("loss", 0.3, step=1) would put it here.'
      )}
      trans={trans}
    />
  );
}

/** What the run ran with: Python, the machine, the packages. */
export function Environment(): React.ReactElement {
  const { api, model, trans } = useRunContext();
  const { id, lineage } = useRun();
  const { environment, packages } = model.code;
  useSignals(environment.changed, packages.changed);
  const isKept = lineage.captured !== null || lineage.packages !== null;
  React.useEffect(() => {
    if (isKept) {
      void environment.load();
      void packages.load();
    }
  }, [isKept]);
  const facts: [string, string][] = [
    [trans.__('Python'), lineage.python ?? ''],
    [trans.__('seed'), lineage.seed ?? ''],
    [trans.__('user'), lineage.user ?? ''],
    [trans.__('job'), lineage.job ?? ''],
    ...Object.entries(lineage.hardware).map(
      ([key, value]): [string, string] => [
        key,
        typeof value === 'object' ? JSON.stringify(value) : String(value)
      ]
    ),
    ...(environment.value ?? []).map(([key, value]): [string, string] => [
      key,
      value
    ])
  ];
  const seen = new Set<string>();
  const shown = facts.filter(([key, value]) => {
    const isNew = value !== '' && !seen.has(key);
    seen.add(key);
    return isNew;
  });
  if (shown.length === 0 && !isKept) {
    return (
      <div className="jp-AidpRun-empty">
        <p>
          {trans.__(
            'Nothing is known of where it ran. Runs that are started in a kernel of this Lab bring it along.'
          )}
        </p>
      </div>
    );
  }
  return (
    <>
      {lineage.captured && lineage.captured !== 'done' && (
        <p className="jp-AidpRun-quiet">{lineage.captured}</p>
      )}
      <table className="jp-AidpRun-table" aria-label={trans.__('Machine')}>
        <tbody>
          {shown.map(([key, value]) => (
            <tr key={key}>
              <th scope="row" title={key}>
                {key}
              </th>
              <td>
                <LongText text={value} trans={trans} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <h3>{trans.__('Packages')}</h3>
      {packages.error && !packages.value ? (
        <Panel
          state={{
            kind: 'error',
            error: packages.error,
            retry: () => void packages.load()
          }}
          trans={trans}
        />
      ) : isKept && !packages.value ? (
        <Panel state={{ kind: 'loading' }} trans={trans} />
      ) : (
        <SearchedTable
          label={trans.__('Packages')}
          searchLabel={trans.__(
            'Search %1 packages',
            packages.value?.length ?? 0
          )}
          columns={[trans.__('package'), trans.__('version')]}
          items={packages.value ?? []}
          wordsOf={({ name }) => name}
          row={({ name, version }) => (
            <tr key={name}>
              <th scope="row" title={name}>
                {name}
              </th>
              <td>
                <code>{version}</code>
              </td>
            </tr>
          )}
          empty={trans.__('No packages are recorded.')}
          actions={
            packages.value && (
              <a
                className="jp-AidpRun-link"
                href={api.rawUrl(id, PACKAGES_PATH, true)}
                download
              >
                {trans.__('Download requirements.txt')}
              </a>
            )
          }
          trans={trans}
        />
      )}
    </>
  );
}
