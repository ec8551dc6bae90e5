import * as React from 'react';

import type { ICallRecord } from '../wire';
import { outcomeName, place, privacyName } from '../wording';
import { usePanel } from './context';

/** One call: why this model, what left this machine, how long it took, and what it cost. */
export function CallDetails({
  call
}: {
  readonly call: ICallRecord;
}): React.ReactElement {
  const { format, trans } = usePanel();
  const { prompt_tokens, completion_tokens, ms, first_ms, attempts } = call;
  const outcome = outcomeName(call.outcome, trans);
  const redactions = Object.entries(call.redactions);
  const replaced = redactions.reduce((sum, [, count]) => sum + count, 0);
  return (
    <dl className="jp-AidpAI-facts">
      {outcome && <Fact name={trans.__('Outcome')}>{outcome}</Fact>}
      {call.route && (
        <Fact name={trans.__('Model')}>
          {[call.route, call.locality && place(call.locality, trans)]
            .filter(Boolean)
            .join(' · ')}
        </Fact>
      )}
      {call.message && <Fact name={trans.__('Why')}>{call.message}</Fact>}
      <Fact name={trans.__('Left this machine')}>
        {call.sent_bytes > 0
          ? [
              format.bytes(call.sent_bytes),
              replaced > 0 &&
                trans._n('%1 secret replaced', '%1 secrets replaced', replaced)
            ]
              .filter(Boolean)
              .join(', ')
          : trans.__('nothing')}
        {replaced > 0 && (
          <small>
            {redactions
              .map(
                ([kind, count]) => `${count} × ${kind.replaceAll(/[_-]/g, ' ')}`
              )
              .join(', ')}
          </small>
        )}
      </Fact>
      <Fact name={trans.__('Privacy')}>
        {privacyName(call.privacy, trans)}
        {call.privacy_message && <small>{call.privacy_message}</small>}
      </Fact>
      {ms !== null && (
        <Fact name={trans.__('Took')}>
          {first_ms === null
            ? format.duration(ms)
            : trans.__(
                '%1, first word after %2',
                format.duration(ms),
                format.duration(first_ms)
              )}
        </Fact>
      )}
      {prompt_tokens !== null && (
        <Fact name={trans.__('Tokens')}>
          {trans.__(
            '%1 read, %2 written',
            format.integer(prompt_tokens),
            format.integer(completion_tokens ?? 0)
          )}
        </Fact>
      )}
      {call.cost_usd !== null && (
        <Fact name={trans.__('Cost')}>{format.money(call.cost_usd)}</Fact>
      )}
      {attempts > 1 && (
        <Fact name={trans.__('Attempts')}>
          {trans.__('%1: the models before failed', attempts)}
        </Fact>
      )}
      {call.notes.map(note => (
        <Fact key={note} name={trans.__('Note')}>
          {note}
        </Fact>
      ))}
      <Fact name={trans.__('Time')}>{format.absolute(call.at)}</Fact>
    </dl>
  );
}

function Fact(props: {
  readonly name: string;
  readonly children: React.ReactNode;
}): React.ReactElement {
  return (
    <>
      <dt>{props.name}</dt>
      <dd>{props.children}</dd>
    </>
  );
}
