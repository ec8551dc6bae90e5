import * as React from 'react';

import { useSignals } from '../../shared/hooks';
import type { PanelState } from '../../shared/panel';
import { Panel } from '../../shared/panel';
import { Artifacts } from '../artifacts/tree';
import { Charts } from './charts';
import { Code } from './codeview';
import { useRun, useRunContext } from './context';
import { Environment, Metrics, Parameters } from './facts';
import { Header } from './header';
import { isOwnTag, isSystem } from './keys';
import { Notes } from './notes';
import { Tabs } from './tabs';

/** What a run's tab shows. */
export function RunContent(): React.ReactElement {
  const { model, trans } = useRunContext();
  useSignals(model.changed);
  const { detail, run } = model;
  const state: PanelState = run
    ? { kind: 'full' }
    : detail.error
      ? {
          kind: 'error',
          error: detail.error,
          retry: () => void detail.load()
        }
      : { kind: 'loading' };
  return (
    <div className="jp-AidpRun-frame">
      <Panel state={state} trans={trans}>
        {run && <Full />}
      </Panel>
    </div>
  );
}

function Full(): React.ReactElement {
  const { prefix, trans } = useRunContext();
  const run = useRun();
  const [current, setCurrent] = React.useState('curves');
  const { metrics, system_metrics: known } = run;
  const [own, system] = React.useMemo(() => {
    const keys = metrics.map(({ key }) => key);
    return [
      keys.filter(key => !isSystem(key)).sort(),
      [...new Set([...known, ...keys.filter(isSystem)])].sort()
    ];
  }, [metrics, known]);
  const tags = Object.keys(run.tags).filter(isOwnTag).length;
  return (
    <>
      <Header />
      <Tabs
        label={trans.__('Parts of the run')}
        prefix={prefix}
        current={current}
        onChoose={setCurrent}
        tabs={[
          {
            id: 'curves',
            label: trans.__('Curves'),
            count: own.length,
            body: () => (
              <Charts
                metrics={own}
                empty={trans.__(
                  'No metric was logged yet. Its curve appears here as soon as one is.'
                )}
              />
            )
          },
          {
            id: 'parameters',
            label: trans.__('Parameters'),
            count: Object.keys(run.params).length,
            body: () => <Parameters />
          },
          {
            id: 'metrics',
            label: trans.__('Metrics'),
            body: () => <Metrics />
          },
          {
            id: 'artifacts',
            label: trans.__('Artifacts'),
            body: () => <Artifacts />
          },
          {
            id: 'system',
            label: trans.__('System'),
            count: system.length,
            body: () => (
              <Charts
                metrics={system}
                empty={trans.__(
                  'Nothing of the machine was recorded. Runs that last longer than a few seconds have it, where the setting is on.'
                )}
              />
            )
          },
          { id: 'code', label: trans.__('Code'), body: () => <Code /> },
          {
            id: 'environment',
            label: trans.__('Environment'),
            body: () => <Environment />
          },
          {
            id: 'notes',
            label: trans.__('Notes'),
            count: tags + (run.note ? 1 : 0),
            body: () => <Notes />
          }
        ]}
      />
    </>
  );
}
