import * as React from 'react';

import { Button, Problem } from '../../shared/panel';
import { CommandIDs } from '../tokens';
import { useView } from './context';

/** That there is no run, why, and the one step to some. */
export function Empty(): React.ReactElement {
  const { commands, trans, view } = useView();
  const { experiment, isNarrowed, hidden, showsHidden, stage } = view;
  const isAllHidden =
    hidden.length > 0 && !showsHidden && (experiment?.runs ?? 0) > 0;
  if (stage === 'deleted' && !isNarrowed) {
    return (
      <Words text={trans.__('No deleted run in this experiment.')}>
        <Button onClick={() => view.setStage('active')}>
          {trans.__('Show the others')}
        </Button>
      </Words>
    );
  }
  if (isNarrowed) {
    return (
      <Words text={trans.__('No run is like that.')}>
        <Button onClick={() => view.clear()}>
          {trans.__('Clear the filter')}
        </Button>
      </Words>
    );
  }
  if (isAllHidden) {
    return (
      <Words text={trans.__('All runs of this experiment are hidden.')}>
        <Button onClick={() => view.showHidden(true)}>
          {trans.__('Show them')}
        </Button>
      </Words>
    );
  }
  return (
    <Words
      text={trans.__(
        'Runs appear here when a notebook logs one: mlflow.start_run() and autolog work as they are.'
      )}
    >
      <Button onClick={() => void commands.execute(CommandIDs.newNotebook)}>
        {trans.__('New experiment notebook')}
      </Button>
    </Words>
  );
}

function Words(props: {
  readonly text: string;
  readonly children: React.ReactNode;
}): React.ReactElement {
  return (
    <div className="jp-AidpPanel-message">
      <p>{props.text}</p>
      {props.children}
    </div>
  );
}

/** How the tracking server is, where that is worth a word. */
export function Tracking(): React.ReactElement | null {
  const { model, trans } = useView();
  const { isStarting, startError, tracking } = model;
  const retry = { label: trans.__('Try again'), run: () => void model.start() };
  if (isStarting) {
    return (
      <p className="jp-AidpExp-tracking" role="status">
        <span className="jp-AidpExp-spinner" aria-hidden />
        {tracking?.progress ||
          trans.__(
            'The tracking server is starting. The first time takes a while.'
          )}
      </p>
    );
  }
  if (startError) {
    return (
      <Problem
        message={startError.message}
        nextStep={startError.nextStep}
        action={retry}
      />
    );
  }
  if (tracking?.state === 'failed') {
    return (
      <div className="jp-AidpExp-failed">
        <Problem
          message={trans.__('The tracking server does not run.')}
          nextStep={tracking.next_step}
          action={retry}
        />
        {tracking.message && (
          <details>
            <summary>{trans.__('Details')}</summary>
            <pre>{tracking.message}</pre>
          </details>
        )}
      </div>
    );
  }
  return null;
}
