import { addIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IconButton } from '../../shared/controls';
import { useAction } from '../../shared/hooks';
import { Problem } from '../../shared/panel';
import { CommandIDs } from '../tokens';
import type { IExperiment } from '../wire';
import { visible } from '../wording';
import { usePanel, useView } from './context';
import { Popover } from './popover';

/** How many are drawn: who has more looks for one by its name. */
const MOST = 200;

/** Which experiment is shown, how many runs it has, and the way to the others. */
export function Chooser(): React.ReactElement {
  const { format, model, trans, view, prefix } = useView();
  const [isOpen, setOpen] = React.useState(false);
  const button = React.useRef<HTMLButtonElement>(null);
  const { experiment } = view;
  const busy = model.busy(experiment?.id ?? null);
  return (
    <div className="jp-AidpExp-chooser">
      <button
        ref={button}
        type="button"
        className="jp-AidpExp-choose"
        aria-haspopup="dialog"
        aria-expanded={isOpen}
        title={
          experiment
            ? trans.__('Experiment %1', visible(experiment.name))
            : undefined
        }
        onClick={() => setOpen(!isOpen)}
      >
        <span className="jp-AidpExp-name">
          {experiment ? visible(experiment.name) : trans.__('No experiment')}
        </span>
        <span className="jp-AidpExp-down" aria-hidden />
        {experiment && (
          <span className="jp-AidpExp-counts">
            {experiment.running > 0 && (
              <span className="jp-AidpExp-live">
                <span aria-hidden>● </span>
                {trans._n('%1 running', '%1 running', experiment.running)}{' '}
                ·{' '}
              </span>
            )}
            {trans._n(
              '%1 run',
              '%2 runs',
              experiment.runs,
              format.integer(experiment.runs)
            )}
          </span>
        )}
      </button>
      {busy && (
        <button
          type="button"
          className="jp-AidpExp-busy"
          title={trans.__('Show %1', visible(busy.name))}
          onClick={() => view.choose(busy.id)}
        >
          <span className="jp-AidpExp-live">
            <span aria-hidden>● </span>
            {trans._n('%1 running', '%1 running', busy.running)}
          </span>{' '}
          <span className="jp-AidpExp-name">
            {trans.__('in %1', visible(busy.name))}
          </span>
        </button>
      )}
      {isOpen && (
        <Popover
          label={trans.__('Experiments')}
          anchor={button}
          onClose={() => setOpen(false)}
        >
          <Choices
            id={`${prefix}-experiments`}
            close={() => {
              setOpen(false);
              button.current?.focus();
            }}
          />
        </Popover>
      )}
    </div>
  );
}

/** The experiments, with a field to find one in. */
function Choices(props: {
  readonly id: string;
  readonly close: () => void;
}): React.ReactElement {
  const { id, close } = props;
  const { commands, model, trans, view } = usePanel();
  const [words, setWords] = React.useState('');
  const [showsDeleted, setShowsDeleted] = React.useState(false);
  const { error, start } = useAction();
  const find = words.trim().toLowerCase();
  const all = model.experiments.filter(
    ({ stage, name }) =>
      (stage === 'deleted') === showsDeleted &&
      name.toLowerCase().includes(find)
  );
  const shown = all.slice(0, MOST);
  const [at, setAt] = React.useState(-1);
  const start_at = Math.max(
    0,
    shown.findIndex(one => one.id === view.experiment?.id)
  );
  const current = Math.min(at < 0 ? start_at : at, shown.length - 1);
  const take = (one: IExperiment | undefined) => {
    if (!one) {
      return;
    }
    if (one.stage === 'deleted') {
      start(() => model.restore(one.id));
      return;
    }
    view.choose(one.id);
    close();
  };
  const list = React.useRef<HTMLUListElement>(null);
  React.useEffect(() => {
    list.current?.children[current]?.scrollIntoView({ block: 'nearest' });
  }, [current]);
  return (
    <>
      <div className="jp-AidpExp-line">
        <input
          className="jp-AidpField"
          role="combobox"
          aria-label={trans.__('Find an experiment')}
          placeholder={trans.__('Find…')}
          aria-expanded
          aria-controls={id}
          aria-activedescendant={
            shown[current] ? `${id}-${current}` : undefined
          }
          autoFocus
          value={words}
          onChange={event => {
            setWords(event.currentTarget.value);
            setAt(0);
          }}
          onKeyDown={event => {
            if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
              const step = event.key === 'ArrowDown' ? 1 : -1;
              setAt(Math.min(shown.length - 1, Math.max(0, current + step)));
              event.preventDefault();
            } else if (event.key === 'Enter') {
              take(shown[current]);
            }
          }}
        />
        <IconButton
          icon={addIcon}
          label={trans.__('New experiment…')}
          onClick={() => {
            close();
            void commands.execute(CommandIDs.newExperiment);
          }}
        />
      </div>
      {error && <Problem message={error.message} nextStep={error.nextStep} />}
      <ul
        id={id}
        ref={list}
        role="listbox"
        aria-label={trans.__('Experiments')}
        className="jp-AidpExp-options"
      >
        {shown.map((one, index) => (
          <li
            key={one.id}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === current}
            data-chosen={one.id === view.experiment?.id || undefined}
            title={
              one.stage === 'deleted'
                ? trans.__('Restore %1', visible(one.name))
                : visible(one.name)
            }
            onClick={() => take(one)}
          >
            <Choice of={one} />
          </li>
        ))}
      </ul>
      {shown.length === 0 && (
        <p className="jp-AidpExp-quiet">
          {showsDeleted
            ? trans.__('No deleted experiment.')
            : trans.__('None of that name.')}
        </p>
      )}
      {all.length > MOST && (
        <p className="jp-AidpExp-quiet">
          {trans.__('and %1 more: write a part of a name', all.length - MOST)}
        </p>
      )}
      <label className="jp-AidpExp-check">
        <input
          type="checkbox"
          checked={showsDeleted}
          onChange={event => setShowsDeleted(event.currentTarget.checked)}
        />
        {trans.__('Deleted ones, to restore')}
      </label>
    </>
  );
}

function Choice({ of }: { readonly of: IExperiment }): React.ReactElement {
  const { format, trans } = usePanel();
  const { name, runs, running, stage } = of;
  return (
    <>
      <span className="jp-AidpExp-name">{visible(name)}</span>
      <span className="jp-AidpExp-counts">
        {stage === 'deleted' ? (
          trans.__('restore')
        ) : (
          <>
            {running > 0 && (
              <span className="jp-AidpExp-live">
                <span aria-hidden>● </span>
                {trans._n('%1 running', '%1 running', running)} ·{' '}
              </span>
            )}
            <span title={format.integer(runs)}>{format.count(runs)}</span>
            <span className="jp-AidpPanel-hidden">
              {trans._n('run', 'runs', runs)}
            </span>
          </>
        )}
      </span>
    </>
  );
}
