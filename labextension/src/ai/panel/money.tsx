import * as React from 'react';

import { Bar } from '../../shared/controls';
import { useSignals } from '../../shared/hooks';
import type { IBudget } from '../wire';
import { usePanel } from './context';

/** What was spent of what may be; without a budget what today cost. */
export function Money(): React.ReactElement {
  const { format, model, trans } = usePanel();
  const { usage } = model;
  useSignals(usage.changed);
  const { value, error } = usage;
  const [tightest, ...others] = value?.budget
    ? [
        value.budget,
        ...value.budgets.filter(one => !isSame(one, value.budget!))
      ]
    : [];
  return (
    <div className="jp-AidpAI-money">
      {tightest ? (
        <Meter budget={tightest} />
      ) : value ? (
        <p>{trans.__('today %1', format.money(value.today.cost_usd))}</p>
      ) : error ? (
        <p title={error.message}>{trans.__('cost not known')}</p>
      ) : (
        <p className="jp-AidpPanel-skeleton" aria-hidden />
      )}
      {others.length > 0 && (
        <details>
          <summary>
            {trans._n('%1 more budget', '%1 more budgets', others.length)}
          </summary>
          {others.map(budget => (
            <Meter key={`${budget.scope} ${budget.period}`} budget={budget} />
          ))}
        </details>
      )}
    </div>
  );
}

function Meter({ budget }: { readonly budget: IBudget }): React.ReactElement {
  const { clock, format, trans } = usePanel();
  const { spent_usd: spent, limit_usd: limit, reserved_usd, state } = budget;
  const resets = React.useSyncExternalStore(clock.subscribe, () =>
    format.until(budget.resets_at)
  );
  const words =
    budget.period === 'day'
      ? trans.__('%1 of %2 today', format.money(spent), format.money(limit))
      : trans.__(
          '%1 of %2 this month',
          format.money(spent),
          format.money(limit)
        );
  const soft = budget.soft_limit_usd;
  const holds =
    state === 'hard'
      ? trans.__('Used up: only local models answer')
      : state === 'soft' && soft !== null
        ? trans.__(
            'Above %1: local and cheaper models come first',
            format.money(soft)
          )
        : null;
  const title = [
    owner(budget),
    soft === null
      ? ''
      : trans.__(
          'From %1 on, local and cheaper models come first.',
          format.money(soft)
        ),
    reserved_usd > 0
      ? trans.__('%1 more for calls under way', format.money(reserved_usd))
      : '',
    trans.__('Starts anew %1', format.absolute(budget.resets_at))
  ];
  return (
    <div data-state={state} title={title.filter(Boolean).join('\n')}>
      <p>{words}</p>
      <Bar
        share={limit > 0 ? (spent + reserved_usd) / limit : 1}
        label={words}
        state={state}
      />
      {holds && <p className="jp-AidpAI-holds">{holds}</p>}
      <small>
        {owner(budget)} · {trans.__('resets in %1', resets)}
      </small>
    </div>
  );

  function owner({ scope, name }: IBudget): string {
    switch (scope) {
      case 'user':
        return trans.__('your budget');
      case 'team':
        return trans.__('team %1', name);
      case 'deployment':
        return trans.__('everyone here');
    }
  }
}

function isSame(one: IBudget, other: IBudget): boolean {
  return (
    one.scope === other.scope &&
    one.name === other.name &&
    one.period === other.period
  );
}
