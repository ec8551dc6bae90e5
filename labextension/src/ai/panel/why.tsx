import * as React from 'react';

import { Select } from '../../shared/controls';
import { useSignals } from '../../shared/hooks';
import type { PanelState } from '../../shared/panel';
import { Panel } from '../../shared/panel';
import { Prose } from '../../shared/prose';
import { Resource } from '../../shared/resource';
import { Section } from '../../shared/section';
import type { IDecision, IOffer, Privacy } from '../wire';
import { TASKS } from '../wire';
import { place, taskName } from '../wording';
import { usePanel } from './context';

/** Which model would answer a task now, which come after it, and why the others would not. */
export function Why(): React.ReactElement {
  const { trans } = usePanel();
  const [isOpen, setOpen] = React.useState(false);
  return (
    <Section
      id="jp-aidp-why"
      title={trans.__('Why this model?')}
      isOpen={isOpen}
      onToggle={setOpen}
    >
      <Question />
    </Section>
  );
}

function Question(): React.ReactElement {
  const { api, model, trans } = usePanel();
  const [task, setTask] = React.useState<string>('chat');
  const [privacy, setPrivacy] = React.useState<Privacy | ''>('');
  const question = React.useRef({ task, privacy });
  question.current = { task, privacy };
  const [answer] = React.useState(
    () =>
      new Resource<IDecision>(signal => {
        const { task, privacy } = question.current;
        return api.route({ task, ...(privacy && { privacy }) }, signal);
      })
  );
  useSignals(answer.changed);
  React.useEffect(() => () => answer.dispose(), [answer]);
  // Asked anew when the choice is another, and when the way is.
  React.useEffect(
    () => void answer.load(),
    [task, privacy, model.mode, model.decision?.route, model.providers]
  );
  const { value, error } = answer;
  const state: PanelState = value
    ? { kind: 'full' }
    : error
      ? { kind: 'error', error, retry: () => void answer.load() }
      : { kind: 'loading' };
  return (
    <>
      <div className="jp-AidpAI-bar">
        <Select
          label={trans.__('Task')}
          value={task}
          options={TASKS.map(one => [one, taskName(one, trans)])}
          onChange={setTask}
        />
        <Select
          label={trans.__('Privacy')}
          value={privacy}
          options={[
            ['', trans.__('any text')],
            ['redact', trans.__('with secrets')],
            ['local', trans.__('must stay here')]
          ]}
          onChange={setPrivacy}
        />
      </div>
      <Panel state={state} trans={trans}>
        {value && <Answer decision={value} />}
      </Panel>
    </>
  );
}

function Answer({
  decision
}: {
  readonly decision: IDecision;
}): React.ReactElement {
  const { trans } = usePanel();
  const { route, message, next_step, offers, refused } = decision;
  return (
    <div aria-live="polite">
      {!route && (
        <p>
          <Prose text={message} /> <Prose text={next_step} />
        </p>
      )}
      {offers.length > 0 && (
        <ol className="jp-AidpAI-offers">
          {offers.map(offer => (
            <Offer key={offer.route} offer={offer} />
          ))}
        </ol>
      )}
      {refused.length > 0 && (
        <>
          <h4>{trans.__('Not these')}</h4>
          <ul className="jp-AidpAI-offers">
            {refused.map(offer => (
              <Offer key={offer.route} offer={offer} />
            ))}
          </ul>
        </>
      )}
    </div>
  );
}

function Offer({ offer }: { readonly offer: IOffer }): React.ReactElement {
  const { trans } = usePanel();
  return (
    <li title={offer.route}>
      <span className="jp-AidpFolds-name">{offer.label}</span>
      <span className="jp-AidpFolds-note">{place(offer.locality, trans)}</span>
      <small className="jp-AidpAI-detail">{offer.message}</small>
    </li>
  );
}
