import * as React from 'react';

import { Mark } from '../../ai/mark';
import { Button, Problem } from '../../shared/panel';
import { Section } from '../../shared/section';
import { useGit, useRepository } from './context';

/** What the commit says: written by the user, or by a model in the same field. */
export function Message(): React.ReactElement {
  const { prefix, trans } = useGit();
  const repository = useRepository();
  const { draft } = repository;
  const [isOpen, setOpen] = React.useState(true);
  const isWriting = draft.writing === 'commit';
  const lines = draft.message.split('\n').length;
  const [subject = ''] = draft.message.split('\n');
  return (
    <Section
      id={`${prefix}-message`}
      title={trans.__('Message')}
      summary={!isOpen && subject}
      actions={
        <Button
          className="jp-AidpShip-all"
          title={
            isWriting
              ? trans.__('Stop; what is written stays')
              : trans.__('Have a model write it from the chosen changes')
          }
          onClick={() => {
            setOpen(true);
            if (isWriting) {
              draft.stop();
            } else {
              void draft.suggest('commit');
            }
          }}
        >
          <Mark of="◆" /> {isWriting ? trans.__('stop') : trans.__('suggest')}
        </Button>
      }
      isOpen={isOpen}
      onToggle={setOpen}
    >
      <textarea
        className="jp-AidpField jp-AidpShip-message"
        rows={Math.min(12, Math.max(2, lines + (lines > 1 ? 1 : 0)))}
        value={draft.message}
        aria-label={trans.__('Message of the commit')}
        aria-busy={isWriting}
        placeholder={
          isWriting
            ? trans.__('A model is reading the changes…')
            : trans.__('What changes, and why')
        }
        onFocus={() => void repository.loadSuggestions()}
        onChange={event => (draft.message = event.currentTarget.value)}
        onKeyDown={event => {
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            void repository.ship();
          } else if (event.key === 'Escape' && isWriting) {
            event.stopPropagation();
            draft.stop();
          }
        }}
      />
      <Written of="commit" />
      {subject.length > 72 && (
        <small>
          {trans.__(
            'The first line has %1 characters; up to 72 are shown everywhere.',
            subject.length
          )}
        </small>
      )}
      <Runs />
    </Section>
  );
}

/** The runs of experiments that the commit names, which may be left out. */
function Runs(): React.ReactElement | null {
  const { trans } = useGit();
  const { commits, draft, runs } = useRepository();
  const { runs: ids = [], note = '' } = runs.value ?? {};
  if (!commits || (ids.length === 0 && !note)) {
    return null;
  }
  if (ids.length === 0) {
    return <p className="jp-AidpShip-quiet">{note}</p>;
  }
  return (
    <label
      className="jp-AidpShip-check"
      title={trans.__('The commit names them: %1', ids.join(', '))}
    >
      <input
        type="checkbox"
        checked={!draft.wish.isWithoutRuns}
        onChange={event =>
          draft.change({ isWithoutRuns: !event.currentTarget.checked })
        }
      />
      {trans._n(
        '%1 run of an experiment goes along',
        '%1 runs of experiments go along',
        ids.length
      )}
    </label>
  );
}

/** Who wrote it, with a way back; or why nobody did. */
export function Written(props: {
  readonly of: 'commit' | 'pull-request';
}): React.ReactElement | null {
  const { trans } = useGit();
  const { draft, preflight } = useRepository();
  const { error, failed, undoable, by } = draft;
  if (error && failed === props.of) {
    return (
      <Problem
        message={error.message}
        nextStep={error.nextStep}
        action={
          error.code === 'secrets_staged'
            ? {
                label: trans.__('Show them'),
                run: () => void preflight.run()
              }
            : {
                label: trans.__('Try again'),
                run: () => void draft.suggest(props.of)
              }
        }
      />
    );
  }
  return undoable === props.of ? (
    <p className="jp-AidpShip-row" role="status">
      <small className="jp-AidpShip-grow" title={by}>
        {by ? trans.__('written by %1', by) : trans.__('written by a model')}
      </small>
      <Button className="jp-AidpShip-all" onClick={() => draft.undo()}>
        {trans.__('Undo')}
      </Button>
    </p>
  ) : null;
}
