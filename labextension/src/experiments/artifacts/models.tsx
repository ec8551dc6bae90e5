import { closeIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IconButton, Select } from '../../shared/controls';
import { useAction } from '../../shared/hooks';
import { Button, Problem } from '../../shared/panel';
import { undoable } from '../run/actions';
import { useRun, useRunContext } from '../run/context';
import type { IModel, IRunModel } from '../wire';

/** The tag under which a version's stage is kept, and what MLflow called stages. */
export const STAGE = 'stage';
export const STAGES = ['none', 'Staging', 'Production', 'Archived'] as const;
type Stage = (typeof STAGES)[number];

/** The versions that this run made of registered models, with their aliases and stage. */
export function Models(): React.ReactElement {
  const { api, model, trans } = useRunContext();
  const run = useRun();
  const [known, setKnown] = React.useState<readonly IModel[]>([]);
  const load = React.useCallback(
    (signal?: AbortSignal) => {
      const names = [...new Set(run.models.map(({ name }) => name))];
      return Promise.all(names.map(name => api.models(name, signal))).then(
        found => setKnown(found.flat()),
        // What is not known of a model leaves out its stage; the rest is the run's own.
        () => undefined
      );
    },
    [run.models]
  );
  React.useEffect(() => {
    const abort = new AbortController();
    void load(abort.signal);
    return () => abort.abort();
  }, [load]);
  const changed = async () => {
    await model.refresh();
    await load();
  };
  return (
    <section
      className="jp-AidpModels"
      aria-label={trans.__('Registered models')}
    >
      <h3>{trans.__('Registered models')}</h3>
      {run.models.map(one => (
        <Version
          key={`${one.name} ${one.version}`}
          version={one}
          model={known.find(({ name }) => name === one.name) ?? null}
          onChanged={changed}
        />
      ))}
    </section>
  );
}

function Version(props: {
  readonly version: IRunModel;
  /** As the registry has it; null until it has said so. */
  readonly model: IModel | null;
  readonly onChanged: () => Promise<void>;
}): React.ReactElement {
  const { model, onChanged } = props;
  const { name, version } = props.version;
  // What the run itself says of them may be older.
  const aliases = model
    ? Object.keys(model.aliases).filter(one => model.aliases[one] === version)
    : props.version.aliases;
  const stage = model?.versions.find(one => one.version === version)?.stage_tag;
  const { api, trans } = useRunContext();
  const { can } = useRun();
  const [alias, setAlias] = React.useState('');
  const { error, isBusy, start } = useAction();
  const change = (
    message: string,
    work: () => Promise<void>,
    undo: () => Promise<void>
  ) =>
    start(() => {
      const attempt = (one: () => Promise<void>) => async () => {
        await one();
        await onChanged();
        return true;
      };
      return undoable(message, attempt(work), attempt(undo), trans);
    });
  const set = (one: string, to = version) => api.setAlias(name, one, to);
  const remove = (one: string) => api.removeAlias(name, one, version);
  const setStage = (one: string) => api.setModelTag(name, version, STAGE, one);
  const shown: Stage =
    STAGES.find(one => one.toLowerCase() === stage?.toLowerCase()) ?? 'none';
  const names: Record<Stage, string> = {
    none: trans.__('no stage'),
    Staging: trans.__('staging'),
    Production: trans.__('production'),
    Archived: trans.__('archived')
  };
  return (
    <div className="jp-AidpModels-version">
      <span className="jp-AidpModels-name" title={name}>
        <b>{name}</b> {trans.__('version %1', version)}
      </span>
      {aliases.map(one => (
        <span className="jp-AidpRun-mark" key={one}>
          @{one}
          {can.write && (
            <IconButton
              icon={closeIcon}
              label={trans.__('Take the alias %1 away', one)}
              onClick={() =>
                change(
                  trans.__('The alias “%1” is gone.', one),
                  () => remove(one),
                  () => set(one)
                )
              }
            />
          )}
        </span>
      ))}
      {can.write && (
        <>
          <Select
            label={trans.__('Stage of %1 version %2', name, version)}
            value={shown}
            isDisabled={isBusy}
            options={STAGES.map(one => [one, names[one]] as const)}
            onChange={value =>
              change(
                trans.__('%1 is now: %2.', name, names[value]),
                () => setStage(value),
                () => setStage(shown)
              )
            }
          />
          <form
            className="jp-AidpModels-alias"
            onSubmit={event => {
              event.preventDefault();
              const one = alias.trim();
              if (one) {
                setAlias('');
                // An alias names one version: it may have been another one.
                const before = model?.aliases[one];
                change(
                  trans.__('The alias “%1” is set.', one),
                  () => set(one),
                  () => (before ? set(one, before) : remove(one))
                );
              }
            }}
          >
            <input
              className="jp-AidpField"
              aria-label={trans.__('New alias of %1 version %2', name, version)}
              placeholder={trans.__('new alias')}
              maxLength={255}
              value={alias}
              onChange={({ currentTarget }) => setAlias(currentTarget.value)}
            />
            <Button type="submit" disabled={!alias.trim() || isBusy}>
              {trans.__('Set')}
            </Button>
          </form>
        </>
      )}
      {error && <Problem message={error.message} nextStep={error.nextStep} />}
    </div>
  );
}
