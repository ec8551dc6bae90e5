import * as React from 'react';

import { Select } from '../../shared/controls';
import { useAction } from '../../shared/hooks';
import { Button, Problem } from '../../shared/panel';
import { Field, openDialog } from '../run/dialog';
import type { IExperimentServices } from '../run/services';
import type { IRestored, IRunDetail } from '../wire';
import { visible } from '../wording';
import { branchFor, pathFor } from './names';

type Into = 'notebook' | 'branch';
const ID = 'jp-aidp-restore';

/** Bring the code of a run back, as a notebook or as a branch. */
export function openRestoreDialog(
  services: IExperimentServices,
  run: IRunDetail
): void {
  const { trans } = services;
  openDialog(
    trans.__('Restore the code of %1', visible(run.name).slice(0, 60)),
    trans,
    close => <Restore services={services} run={run} close={close} />
  );
}

function Restore(props: {
  readonly services: IExperimentServices;
  readonly run: IRunDetail;
  readonly close: () => void;
}): React.ReactElement {
  const { services, run, close } = props;
  const { api, trans } = services;
  const [into, setInto] = React.useState<Into>('notebook');
  const [path, setPath] = React.useState(() => pathFor(run));
  const [name, setName] = React.useState(() => branchFor(run));
  const [done, setDone] = React.useState<IRestored | null>(null);
  const { error, isBusy, start } = useAction();
  const where = into === 'notebook' ? path.trim() : name.trim();
  const { commit, dirty, source } = run.lineage;
  const restore = () =>
    start(async () => {
      const restored = await api.restoreCode(run.id, {
        into,
        ...(into === 'notebook' ? { path: where } : { name: where })
      });
      if (restored.path) {
        open(services, restored.path);
      }
      setDone(restored);
    });
  if (done) {
    return <Done services={services} done={done} close={close} />;
  }
  return (
    <form
      onSubmit={event => {
        event.preventDefault();
        if (where) {
          restore();
        }
      }}
    >
      <Field id={`${ID}-into`} label={trans.__('as')}>
        <Select<Into>
          label={trans.__('Restore as')}
          value={into}
          options={[
            ['notebook', trans.__('a notebook')],
            ['branch', trans.__('a branch of the repository')]
          ]}
          onChange={setInto}
        />
      </Field>
      {into === 'notebook' ? (
        <Field id={`${ID}-path`} label={trans.__('file')}>
          <input
            id={`${ID}-path`}
            className="jp-AidpField"
            value={path}
            spellCheck={false}
            autoFocus
            onChange={({ currentTarget }) => setPath(currentTarget.value)}
          />
        </Field>
      ) : (
        <Field id={`${ID}-name`} label={trans.__('branch')}>
          <input
            id={`${ID}-name`}
            className="jp-AidpField"
            value={name}
            spellCheck={false}
            onChange={({ currentTarget }) => setName(currentTarget.value)}
          />
        </Field>
      )}
      <p className="jp-AidpRun-quiet">
        {into === 'notebook'
          ? trans.__(
              'The cells that ran up to the run, in their order, with the packages that it ran with. Nothing that is there is overwritten.'
            )
          : dirty
            ? trans.__(
                'Commit %1 with what was not committed then. Your files and your branch stay as they are.',
                commit?.slice(0, 7) ?? ''
              )
            : trans.__(
                'Commit %1. Your files and your branch stay as they are.',
                commit?.slice(0, 7) ?? ''
              )}
      </p>
      {into === 'branch' && !commit && (
        <Problem
          message={trans.__('No commit is known of this run.')}
          nextStep={trans.__('Restore it as a notebook.')}
        />
      )}
      {into === 'notebook' && source === null && (
        <p className="jp-AidpRun-quiet">
          {trans.__('This run was not started in a cell of this Lab.')}
        </p>
      )}
      {error && <Problem message={error.message} nextStep={error.nextStep} />}
      <div className="jp-AidpExpDialog-buttons">
        <Button onClick={close}>{trans.__('Cancel')}</Button>
        <Button
          type="submit"
          className="jp-mod-accept"
          disabled={!where || isBusy || (into === 'branch' && !commit)}
        >
          {isBusy ? trans.__('Restoring…') : trans.__('Restore')}
        </Button>
      </div>
    </form>
  );
}

function Done(props: {
  readonly services: IExperimentServices;
  readonly done: IRestored;
  readonly close: () => void;
}): React.ReactElement {
  const { services, done, close } = props;
  const { trans } = services;
  const { branch, commit, environment, notes, path } = done;
  return (
    <div role="status">
      {path && (
        <p>
          {trans.__('The notebook is')}{' '}
          <button
            type="button"
            className="jp-AidpRun-link"
            onClick={() => open(services, path)}
          >
            {path}
          </button>
        </p>
      )}
      {branch && (
        <p>
          {trans.__('The branch is')} <code>{branch}</code>
          {commit && (
            <>
              {' '}
              {trans.__('at')} <code>{commit.slice(0, 7)}</code>
            </>
          )}
        </p>
      )}
      {environment && (
        <p>
          {trans.__('Its packages are in')}{' '}
          <button
            type="button"
            className="jp-AidpRun-link"
            onClick={() => open(services, environment)}
          >
            {environment}
          </button>
        </p>
      )}
      {notes.length > 0 && (
        <ul>
          {notes.map(note => (
            <li key={note}>{note}</li>
          ))}
        </ul>
      )}
      <div className="jp-AidpExpDialog-buttons">
        <Button
          className="jp-mod-accept"
          autoFocus
          onClick={() => {
            close();
            // The dialog gave the keyboard back to where it came from.
            if (path) {
              open(services, path);
            }
          }}
        >
          {trans.__('Done')}
        </Button>
      </div>
    </div>
  );
}

function open({ app, documents }: IExperimentServices, path: string): void {
  const widget = documents?.openOrReveal(path);
  if (widget) {
    app.shell.activateById(widget.id);
  }
}
