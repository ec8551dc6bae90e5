import type { IChatModel, IMessageContent } from '@jupyter/chat';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { ICallRecord, Privacy } from '../ai/wire';
import { place, privacyName, taskName } from '../ai/wording';
import type { Format } from '../shared/format';
import { Button } from '../shared/panel';
import type { IAnswerSaid } from './wire';

export interface IFooterOptions {
  readonly format: Format;
  readonly trans: TranslationBundle;
  /** What is remembered of a call; null where it is forgotten. */
  readonly call: (id: string) => Promise<ICallRecord | null>;
  /** Ask again what an answer answers. */
  readonly retry: (model: IChatModel, message: IMessageContent) => void;
}

/** What an answer says of itself; null for what is no answer of ours. */
export function answerOf(message: IMessageContent): IAnswerSaid | null {
  const said = message.metadata?.['aidp'];
  return message.sender.bot && said && typeof said === 'object'
    ? (said as IAnswerSaid)
    : null;
}

/** One quiet line under each answer: which model, where, at what cost, told of what, and why. */
export function createFooter(options: IFooterOptions): React.FC<{
  readonly model: IChatModel;
  readonly message: IMessageContent;
}> {
  return ({ model, message }) => {
    const [, again] = React.useReducer((count: number) => count + 1, 0);
    React.useEffect(() => {
      const changed = (_: IChatModel, one: IMessageContent) => {
        if (one.id === message.id) {
          again();
        }
      };
      model.messageChanged.connect(changed);
      // What came between the first paint and now.
      again();
      return () => {
        model.messageChanged.disconnect(changed);
      };
    }, [model, message.id]);
    const now = model.messages.find(({ id }) => id === message.id) ?? message;
    const said = now.deleted ? null : answerOf(now);
    return said ? (
      <Footer
        {...options}
        said={said}
        onRetry={() => options.retry(model, now)}
      />
    ) : null;
  };
}

function Footer({
  said,
  format,
  trans,
  call,
  onRetry
}: IFooterOptions & {
  readonly said: IAnswerSaid;
  readonly onRetry: () => void;
}): React.ReactElement {
  const [isOpen, setOpen] = React.useState(false);
  const { route, locality, cost_usd, context, error, stopped } = said;
  const facts = [
    route && (
      <span key="model" title={route}>
        {route.slice(route.lastIndexOf('/') + 1)}
      </span>
    ),
    locality && place(locality, trans),
    typeof cost_usd === 'number' && format.money(cost_usd),
    route &&
      (context
        ? trans.__('context: %1', context)
        : trans.__('no context went along'))
  ].filter(Boolean);
  return (
    <div
      className="jp-AidpAnswer"
      role="group"
      aria-label={trans.__('About this answer')}
    >
      <div className="jp-AidpAnswer-line">
        {stopped && <span>{trans.__('stopped')}</span>}
        {facts.map((fact, index) => (
          <span key={index}>{fact}</span>
        ))}
        {route && (
          <button
            type="button"
            className="jp-AidpAnswer-why"
            aria-expanded={isOpen}
            onClick={() => setOpen(!isOpen)}
          >
            {trans.__('why')}
          </button>
        )}
        {(stopped || error) && (
          <Button onClick={onRetry}>{trans.__('Retry')}</Button>
        )}
      </div>
      {isOpen && <Why said={said} format={format} trans={trans} call={call} />}
    </div>
  );
}

/** Why this model, and what left this machine. */
function Why({
  said,
  format,
  trans,
  call
}: Pick<IFooterOptions, 'format' | 'trans' | 'call'> & {
  readonly said: IAnswerSaid;
}): React.ReactElement {
  const [record, setRecord] = React.useState<ICallRecord | null>(null);
  const id = said.call;
  React.useEffect(() => {
    let isWanted = true;
    if (id) {
      void call(id)
        .catch(() => null)
        .then(found => isWanted && setRecord(found));
    }
    return () => {
      isWanted = false;
    };
  }, [id, call]);
  const privacy = record?.privacy ?? said.privacy;
  const redactions = Object.entries(record?.redactions ?? {});
  const replaced = redactions.reduce((sum, [, count]) => sum + count, 0);
  const facts: (readonly [string, React.ReactNode])[] = [
    [trans.__('Model'), said.route],
    [trans.__('Why'), record?.message || said.message || said.reason],
    [trans.__('For'), said.task && taskName(said.task, trans)],
    [trans.__('Told of'), said.context],
    [
      trans.__('Left this machine'),
      record &&
        (record.sent_bytes > 0
          ? [
              format.bytes(record.sent_bytes),
              ...redactions.map(
                ([kind, count]) => `${count} × ${kind.replaceAll(/[_-]/g, ' ')}`
              ),
              replaced > 0 && trans.__('replaced')
            ]
              .filter(Boolean)
              .join(', ')
          : trans.__('nothing'))
    ],
    [
      trans.__('Privacy'),
      privacy &&
        [privacyWords(privacy, trans), record?.privacy_message]
          .filter(Boolean)
          .join(' · ')
    ],
    [
      trans.__('Took'),
      record?.ms !== null && record?.ms !== undefined
        ? format.duration(record.ms)
        : null
    ]
  ];
  return (
    <dl className="jp-AidpAnswer-facts">
      {facts.map(
        ([name, value]) =>
          value && (
            <React.Fragment key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </React.Fragment>
          )
      )}
    </dl>
  );
}

function privacyWords(privacy: string, trans: TranslationBundle): string {
  return ['local', 'redact', 'cloud'].includes(privacy)
    ? privacyName(privacy as Privacy, trans)
    : '';
}
