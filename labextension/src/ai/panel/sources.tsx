import * as React from 'react';

import { Bar, Select } from '../../shared/controls';
import { useSignals } from '../../shared/hooks';
import type { PanelState } from '../../shared/panel';
import { Panel } from '../../shared/panel';
import { Section } from '../../shared/section';
import { taskName } from '../wording';
import type { Group, ISum, IUsage } from '../wire';
import { GROUPS } from '../wire';
import { usePanel } from './context';

/** Where answers came from: how many of them from here, what they cost, and what that saved. */
export function Sources(): React.ReactElement {
  const { format, model, trans } = usePanel();
  const { usage } = model;
  useSignals(usage.changed);
  const [isOpen, setOpen] = React.useState(false);
  const { value, error } = usage;
  const share = value?.total.local_share ?? null;
  const words =
    share === null ? '' : trans.__('local %1', format.percent(share));
  const state: PanelState = value
    ? value.total.calls === 0
      ? {
          kind: 'empty',
          text: trans.__(
            'Which models answered, and what they cost, appears here after the first call.'
          )
        }
      : { kind: 'full' }
    : error
      ? { kind: 'error', error, retry: () => void usage.load() }
      : { kind: 'loading' };
  return (
    <Section
      id="jp-aidp-sources"
      title={trans.__('Where answers came from')}
      summary={
        share !== null && (
          <>
            <span>{words}</span>
            <Bar share={share} label={words} state="local" />
          </>
        )
      }
      isOpen={isOpen}
      onToggle={setOpen}
    >
      <Panel state={state} trans={trans}>
        {value && <Sums usage={value} />}
      </Panel>
    </Section>
  );
}

function Sums({ usage }: { readonly usage: IUsage }): React.ReactElement {
  const { format, trans } = usePanel();
  const { total } = usage;
  const [group, setGroup] = React.useState<Group>('model');
  const names: Record<Group, string> = {
    model: trans.__('By model'),
    task: trans.__('By task'),
    day: trans.__('By day'),
    user: trans.__('By user'),
    team: trans.__('By team')
  };
  // Who works alone needs no list of one.
  const groups = GROUPS.filter(
    one => (one !== 'user' && one !== 'team') || usage.by[one].length > 1
  );
  // The first day is there as a whole.
  const days = Math.ceil(
    (Date.parse(usage.to) - Date.parse(usage.from)) / 86_400_000
  );
  const settled = total.accepted + total.rejected;
  return (
    <>
      <dl className="jp-AidpAI-facts">
        <dt>{trans.__('Answered here')}</dt>
        <dd>
          {trans.__(
            '%1 of %2 calls',
            format.integer(total.local_calls),
            format.integer(total.calls)
          )}
        </dd>
        <dt>{trans.__('Spent')}</dt>
        <dd>{format.money(total.cost_usd)}</dd>
        <dt
          title={trans.__(
            'What the local answers would have cost on the cheapest cloud model allowed here'
          )}
        >
          {trans.__('Saved by local answers')}
        </dt>
        <dd>{format.money(total.saved_usd)}</dd>
        {settled > 0 && (
          <>
            <dt>{trans.__('Suggestions taken')}</dt>
            <dd>
              {trans.__(
                '%1 of %2',
                format.integer(total.accepted),
                format.integer(settled)
              )}
            </dd>
          </>
        )}
      </dl>
      <div className="jp-AidpAI-bar">
        <Select
          label={trans.__('Group calls')}
          value={group}
          options={groups.map(one => [one, names[one]])}
          onChange={setGroup}
        />
        <small>{trans._n('last day', 'last %1 days', days)}</small>
      </div>
      <table className="jp-AidpAI-sums">
        <thead>
          <tr>
            <th scope="col">
              <span className="jp-AidpPanel-hidden">{names[group]}</span>
            </th>
            <th scope="col">{trans.__('calls')}</th>
            <th scope="col" className="jp-AidpAI-wide">
              {trans.__('tokens')}
            </th>
            <th scope="col" className="jp-AidpAI-wide">
              {trans.__('local')}
            </th>
            <th scope="col" className="jp-AidpAI-wide">
              {trans.__('on average')}
            </th>
            <th scope="col">{trans.__('cost')}</th>
          </tr>
        </thead>
        <tbody>
          {usage.by[group].map(sum => (
            <Row key={sum.key} sum={sum} group={group} />
          ))}
        </tbody>
      </table>
    </>
  );
}

function Row(props: {
  readonly sum: ISum;
  readonly group: Group;
}): React.ReactElement {
  const { format, trans } = usePanel();
  const { sum, group } = props;
  const name = group === 'task' ? taskName(sum.key, trans) : sum.key;
  return (
    <tr>
      <th scope="row" title={name}>
        {group === 'model' ? name.slice(name.indexOf('/') + 1) : name}
      </th>
      <td
        title={
          sum.errors > 0
            ? trans._n('%1 of them failed', '%1 of them failed', sum.errors)
            : undefined
        }
      >
        {format.integer(sum.calls)}
      </td>
      <td className="jp-AidpAI-wide">
        {format.count(sum.prompt_tokens + sum.completion_tokens)}
      </td>
      <td className="jp-AidpAI-wide">
        {sum.local_share === null ? '' : format.percent(sum.local_share)}
      </td>
      <td className="jp-AidpAI-wide">
        {sum.latency_ms === null ? '' : format.duration(sum.latency_ms)}
      </td>
      <td>{format.money(sum.cost_usd)}</td>
    </tr>
  );
}
