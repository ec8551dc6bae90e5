import * as React from 'react';

import { Answer } from '../../actions/answer';
import { useAction } from '../../shared/hooks';
import { Button, Problem } from '../../shared/panel';
import { useCompareContext } from './context';

/** A model's words on how the runs differ. */
export function Explain(): React.ReactElement {
  const context = useCompareContext();
  const { api, format, model, trans } = context;
  const [text, setText] = React.useState('');
  const [route, setRoute] = React.useState<{
    readonly route: string;
    readonly reason: string;
  } | null>(null);
  const [took, setTook] = React.useState<number | null>(null);
  const { error, isBusy, reset, start } = useAction();
  const runs = model.runs.join();
  // Of other runs it would be wrong.
  React.useEffect(() => {
    reset();
    setText('');
    setRoute(null);
    setTook(null);
  }, [runs]);
  const ask = () => {
    setText('');
    setRoute(null);
    setTook(null);
    const began = performance.now();
    start(async signal => {
      let said = '';
      for await (const event of api.explain(model.runs, signal)) {
        if ('text' in event) {
          said += event.text;
          setText(said);
        } else {
          setRoute(event);
        }
      }
      setTook(performance.now() - began);
    });
  };
  return (
    <div className="jp-AidpExplain" aria-busy={isBusy}>
      <div className="jp-AidpRun-bar">
        {isBusy ? (
          <Button onClick={reset}>{trans.__('Stop')}</Button>
        ) : (
          <Button onClick={ask}>
            {text || error
              ? trans.__('Explain it again')
              : trans.__('Explain the difference')}
          </Button>
        )}
        {isBusy && (
          <span role="status">
            {text ? trans.__('answering…') : trans.__('asking a model…')}
          </span>
        )}
        {!isBusy && !text && !error && (
          <small>
            {trans.__(
              'A model reads what differs in parameters, metrics and code. Nothing else of the runs goes along.'
            )}
          </small>
        )}
      </div>
      {text && <Answer text={text} services={context} />}
      {error && (
        <Problem
          message={error.message}
          nextStep={error.nextStep}
          action={{ label: trans.__('Try again'), run: ask }}
        />
      )}
      {route && (
        <p className="jp-AidpRun-quiet">
          {[route.route, route.reason, took !== null && format.duration(took)]
            .filter(Boolean)
            .join(' · ')}
        </p>
      )}
    </div>
  );
}
