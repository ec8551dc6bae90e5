import * as React from 'react';

import { Ago } from '../../shared/clock';
import { Folds, useUnfolded } from '../../shared/folds';
import { useAction, useSignals } from '../../shared/hooks';
import type { PanelState } from '../../shared/panel';
import { Button, Panel } from '../../shared/panel';
import { Section } from '../../shared/section';
import type { ICallRecord } from '../wire';
import { isFailure, outcomeName, place, taskName } from '../wording';
import { CallDetails } from './call';
import { usePanel } from './context';

/** The last calls. While they are read, new ones wait above a marker. */
export function Recent(): React.ReactElement {
  const { commands, data, trans } = usePanel();
  const { calls, feed } = data;
  useSignals(calls.changed);
  const [isOpen, setOpen] = React.useState(true);
  const more = useAction();
  const unfolded = useUnfolded();
  const [, again] = React.useReducer((count: number) => count + 1, 0);
  const reading = React.useRef({ isUnder: false, hasFocus: false });
  const hold = (how: Partial<typeof reading.current>) => {
    Object.assign(reading.current, how);
    feed.hold(reading.current.isUnder || reading.current.hasFocus);
    again();
  };
  const { value, error } = calls;
  const state: PanelState = value
    ? value.length === 0
      ? {
          kind: 'empty',
          text: trans.__(
            'Each call to a model appears here: which model, why, and what left this machine.'
          ),
          action: commands.hasCommand('notebook:create-new')
            ? {
                label: trans.__('Write in a new notebook'),
                run: () => void commands.execute('notebook:create-new')
              }
            : undefined
        }
      : { kind: 'full' }
    : error
      ? { kind: 'error', error, retry: () => void calls.load() }
      : { kind: 'loading' };
  return (
    <Section
      id="jp-aidp-recent"
      title={trans.__('Recent')}
      actions={
        feed.waiting > 0 && (
          <Button
            className="jp-AidpAI-marker"
            onClick={() => {
              feed.release();
              again();
            }}
          >
            ↑ {trans._n('%1 new call', '%1 new calls', feed.waiting)}
          </Button>
        )
      }
      isOpen={isOpen}
      onToggle={setOpen}
    >
      <Panel state={state} trans={trans}>
        <div
          className="jp-AidpAI-calls"
          onPointerEnter={() => hold({ isUnder: true })}
          onPointerLeave={() => hold({ isUnder: false })}
          onFocus={() => hold({ hasFocus: true })}
          onBlur={({ currentTarget, relatedTarget }) =>
            hold({ hasFocus: currentTarget.contains(relatedTarget) })
          }
        >
          <Folds
            label={trans.__('Recent calls')}
            unfolded={unfolded}
            items={feed.items.map(call => ({
              key: call.id,
              state: isFailure(call.outcome) ? 'error' : call.outcome,
              head: <Head call={call} />,
              body: () => <CallDetails call={call} />
            }))}
          />
          {data.hasMore && (
            <Button
              disabled={more.isBusy}
              onClick={() => more.start(() => data.loadMore())}
            >
              {more.isBusy
                ? trans.__('Loading…')
                : trans.__('Show older calls')}
            </Button>
          )}
        </div>
      </Panel>
    </Section>
  );
}

function Head({ call }: { readonly call: ICallRecord }): React.ReactElement {
  const { clock, format, trans } = usePanel();
  const { task, label, route, locality, outcome, cost_usd } = call;
  const tokens = call.completion_tokens;
  const fate =
    outcomeName(outcome, trans) || (locality ? place(locality, trans) : '');
  return (
    <>
      <span className="jp-AidpAI-task">{taskName(task, trans)}</span>
      <span className="jp-AidpFolds-name" title={route || undefined}>
        {label || '—'}
      </span>
      <span className="jp-AidpAI-place" title={fate}>
        {fate}
      </span>
      <span className="jp-AidpAI-amount">
        {outcome === 'running'
          ? ''
          : cost_usd
            ? format.money(cost_usd)
            : tokens !== null
              ? trans.__('%1 tok', format.count(tokens))
              : ''}
      </span>
      <span className="jp-AidpAI-when">
        <Ago time={call.at} clock={clock} format={format} />
      </span>
    </>
  );
}
