import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { IAiModel } from '../ai/tokens';
import type { IDecision } from '../ai/wire';
import { place } from '../ai/wording';
import { useSignals } from '../shared/hooks';
import { Button, Problem } from '../shared/panel';

export interface IEmptyOptions {
  readonly ai: IAiModel;
  /** What the router would do with a question now. */
  readonly route: (signal: AbortSignal) => Promise<IDecision>;
  /** Whether there is a document to ask about. */
  readonly hasDocument: () => boolean;
  readonly openPanel: () => void;
  readonly trans: TranslationBundle;
}

/** What a new chat shows: what it can do, questions to begin with, and which model would answer. */
export function Empty({
  ai,
  route,
  hasDocument,
  openPanel,
  trans,
  onAsk
}: IEmptyOptions & {
  readonly onAsk: (body: string) => void;
}): React.ReactElement {
  useSignals(ai.changed);
  const [decision, setDecision] = React.useState<IDecision | null>(null);
  // Asked anew when the way is another.
  React.useEffect(() => {
    const abort = new AbortController();
    void route(abort.signal).then(setDecision, () => undefined);
    return () => abort.abort();
  }, [route, ai.mode, ai.decision?.route, ai.error?.code]);
  const error = ai.error?.code === 'no_model_available' ? null : ai.error;
  const cannot = error ?? (decision && !decision.route ? decision : null);
  const questions = hasDocument()
    ? [
        trans.__('Explain what this notebook or file does.'),
        trans.__('What could be wrong in it, and how would you check?'),
        trans.__('What would be a good next step?')
      ]
    : [
        trans.__('How do I read a CSV file and look at it first?'),
        trans.__('Plot a histogram with matplotlib.'),
        trans.__('How do I measure which part of my code is slow?')
      ];
  return (
    <section className="jp-AidpEmpty" aria-label={trans.__('A new chat')}>
      <h3>{trans.__('Ask about your work')}</h3>
      <p>
        {trans.__(
          'It knows the open notebook or file, its errors and, where you allow it, the shape of your data. What goes along stands above the input.'
        )}
      </p>
      <ul aria-label={trans.__('Questions to begin with')}>
        {questions.map(question => (
          <li key={question}>
            <Button onClick={() => onAsk(question)}>{question}</Button>
          </li>
        ))}
      </ul>
      <p>
        <Keyed
          text={trans.__(
            '`/` lists what it can do with code, `@` names a file, a cell, a data frame or a run.'
          )}
        />
      </p>
      {cannot ? (
        <Problem
          message={cannot.message}
          nextStep={'next_step' in cannot ? cannot.next_step : cannot.nextStep}
          action={{ label: trans.__('Open the AI panel'), run: openPanel }}
        />
      ) : (
        decision?.route && (
          <p className="jp-AidpEmpty-model" title={decision.message}>
            {decision.locality
              ? trans.__(
                  '%1 would answer · %2',
                  decision.label ?? decision.route,
                  place(decision.locality, trans)
                )
              : trans.__('%1 would answer', decision.label ?? decision.route)}
          </p>
        )
      )}
    </section>
  );
}

/** Words in which backticks mark keys. */
function Keyed({ text }: { readonly text: string }): React.ReactElement {
  return (
    <>
      {text
        .split('`')
        .map((part, index) =>
          index % 2 ? <kbd key={index}>{part}</kbd> : part
        )}
    </>
  );
}
