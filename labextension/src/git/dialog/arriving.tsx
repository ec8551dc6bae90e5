import * as React from 'react';

import { Bar } from '../../shared/controls';
import { useSignals } from '../../shared/hooks';
import { Button, Problem } from '../../shared/panel';
import { useGit } from '../panel/context';

/** How far a repository is on its way here; nothing where none is. */
export function Arriving(): React.ReactElement | null {
  const { model, trans } = useGit();
  const { clones } = model;
  useSignals(clones.changed);
  const clone = clones.current;
  // What has come without a word is seen by itself.
  if (!clone || (clone.state === 'done' && clone.notes.length === 0)) {
    return null;
  }
  const { error, name, notes, percent, phase, question, state, text } = clone;
  return (
    <div className="jp-AidpShip-row jp-AidpShip-arriving">
      <b className="jp-AidpShip-grow" title={question.url}>
        {name}
      </b>
      <Button onClick={() => clones.stop()}>
        {state === 'running' ? trans.__('Cancel') : trans.__('Close')}
      </Button>
      {state === 'running' && (
        <>
          <Bar
            share={percent === null ? null : percent / 100}
            label={trans.__('Import of %1', name)}
          />
          <small title={text}>
            {[
              (phase === 'note' ? text : phase) || trans.__('Beginning…'),
              percent !== null && `${percent} %`
            ]
              .filter(Boolean)
              .join(' · ')}
          </small>
        </>
      )}
      {state === 'done' && (
        <p role="status">{trans.__('✔ %1 is here.', name)}</p>
      )}
      {notes.map(note => (
        <p className="jp-AidpShip-quiet" key={note}>
          {note}
        </p>
      ))}
      {error && (
        <Problem
          message={error.message}
          nextStep={error.nextStep}
          action={{
            label: trans.__('Try again'),
            run: () => void clones.start(question)
          }}
        />
      )}
    </div>
  );
}
