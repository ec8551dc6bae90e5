import * as React from 'react';

import { Bar } from '../../shared/controls';
import { useSignals } from '../../shared/hooks';
import { Button, Problem } from '../../shared/panel';
import type { IProvider } from '../wire';
import { usePanel } from './context';
import type { IPull } from './pulls';

/** Brings a model onto this machine. */
export function PullModel({
  provider
}: {
  readonly provider: IProvider;
}): React.ReactElement {
  const { data, trans } = usePanel();
  const { pulls } = data;
  const { name } = provider;
  useSignals(pulls.changed);
  const [model, setModel] = React.useState('');
  const pull = pulls.of(name);
  const start = (wanted: string) => {
    if (wanted.trim()) {
      void pulls.start(name, wanted.trim());
      setModel('');
    }
  };
  if (pull?.state === 'running') {
    return <Progress pull={pull} onCancel={() => pulls.stop(name)} />;
  }
  return (
    <div className="jp-AidpAI-row">
      <input
        className="jp-AidpField jp-AidpAI-grow"
        value={model}
        spellCheck={false}
        autoCapitalize="off"
        aria-label={trans.__('Model to download with %1', provider.label)}
        placeholder={trans.__('Download, e.g. qwen2.5-coder:1.5b')}
        onChange={event => setModel(event.currentTarget.value)}
        onKeyDown={event => {
          if (event.key === 'Enter') {
            start(model);
          } else if (event.key === 'Escape' && model) {
            event.stopPropagation();
            setModel('');
          }
        }}
      />
      <Button disabled={!model.trim()} onClick={() => start(model)}>
        {trans.__('Pull')}
      </Button>
      {pull?.state === 'done' && (
        <p role="status">{trans.__('✔ %1 is here.', pull.model)}</p>
      )}
      {pull?.error && (
        <Problem
          message={trans.__('%1: %2', pull.model, pull.error.message)}
          nextStep={pull.error.nextStep}
          action={{
            label: trans.__('Try again'),
            run: () => start(pull.model)
          }}
        />
      )}
    </div>
  );
}

function Progress(props: {
  readonly pull: IPull;
  readonly onCancel: () => void;
}): React.ReactElement {
  const { format, trans } = usePanel();
  const { pull, onCancel } = props;
  const { model, status, completed, total } = pull;
  const words = total
    ? trans.__('%1 of %2', format.bytes(completed), format.bytes(total))
    : status || trans.__('starting…');
  return (
    <div className="jp-AidpAI-row">
      <span className="jp-AidpFolds-name" title={model}>
        {model}
      </span>
      <Button onClick={onCancel}>{trans.__('Cancel')}</Button>
      <Bar
        share={total ? completed / total : null}
        label={trans.__('Download of %1', model)}
        state="local"
      />
      <small className="jp-AidpAI-ends" title={status}>
        <span>{words}</span>
        {total > 0 && <span>{format.percent(completed / total)}</span>}
      </small>
    </div>
  );
}
