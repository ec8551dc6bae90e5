import { Notification } from '@jupyterlab/apputils';
import * as React from 'react';

import { Select } from '../../shared/controls';
import { useAction } from '../../shared/hooks';
import { Button, Problem } from '../../shared/panel';
import { Field, openDialog } from '../run/dialog';
import type { IExperimentServices } from '../run/services';
import type { IModel, IRunDetail } from '../wire';
import { visible } from '../wording';
import { isAlias, isModelName } from './names';

const ID = 'jp-aidp-register';
/** The choice that asks for a path. */
const OTHER = 'path:';

/** Make a version of a registered model from what a run logged. */
export function openRegisterDialog(
  services: IExperimentServices,
  run: IRunDetail,
  onDone: () => Promise<void>
): void {
  const { trans } = services;
  openDialog(
    trans.__('Register a model of %1', visible(run.name).slice(0, 60)),
    trans,
    close => (
      <Register services={services} run={run} close={close} onDone={onDone} />
    )
  );
}

function Register(props: {
  readonly services: IExperimentServices;
  readonly run: IRunDetail;
  readonly close: () => void;
  readonly onDone: () => Promise<void>;
}): React.ReactElement {
  const { services, run, close, onDone } = props;
  const { api, trans } = services;
  const { logged_models } = run;
  const [name, setName] = React.useState('');
  const [from, setFrom] = React.useState(
    logged_models[0] ? `model:${logged_models[0].id}` : OTHER
  );
  const [path, setPath] = React.useState('model');
  const [alias, setAlias] = React.useState('');
  const [description, setDescription] = React.useState('');
  const known = useModels(services, name);
  const { error, isBusy, start } = useAction();
  const isFit =
    isModelName(name) &&
    (alias.trim() === '' || isAlias(alias)) &&
    (from !== OTHER || path.trim() !== '');
  const register = () =>
    start(async () => {
      const made = await api.register(run.id, {
        name: name.trim(),
        ...(from === OTHER
          ? { artifact: path.trim() }
          : { model_id: from.slice('model:'.length) }),
        ...(alias.trim() && { alias: alias.trim() }),
        ...(description.trim() && { description: description.trim() })
      });
      close();
      Notification.success(
        trans.__('%1 version %2 is registered.', made.name, made.version),
        { autoClose: 5000 }
      );
      await onDone();
    });
  const same = known.find(one => one.name === name.trim());
  return (
    <form
      onSubmit={event => {
        event.preventDefault();
        if (isFit) {
          register();
        }
      }}
    >
      <Field id={`${ID}-name`} label={trans.__('name')}>
        <input
          id={`${ID}-name`}
          className="jp-AidpField"
          autoFocus
          autoComplete="off"
          list={`${ID}-known`}
          value={name}
          maxLength={256}
          aria-invalid={name.trim() !== '' && !isModelName(name)}
          placeholder={trans.__('a new name, or that of a model there is')}
          onChange={({ currentTarget }) => setName(currentTarget.value)}
        />
        <datalist id={`${ID}-known`}>
          {known.map(one => (
            <option key={one.name} value={one.name}>
              {one.description}
            </option>
          ))}
        </datalist>
      </Field>
      <p className="jp-AidpRun-quiet" aria-live="polite">
        {name.trim() !== '' && !isModelName(name)
          ? trans.__('A name holds neither / nor :')
          : same
            ? trans.__('It becomes the version after %1.', same.latest ?? '0')
            : name.trim()
              ? trans.__('A new model with this as its first version.')
              : ''}
      </p>
      <Field id={`${ID}-from`} label={trans.__('from')}>
        <Select
          label={trans.__('What is registered')}
          value={from}
          options={[
            ...logged_models.map(
              one => [`model:${one.id}`, one.name || one.path] as const
            ),
            [OTHER, trans.__('an artifact…')] as const
          ]}
          onChange={setFrom}
        />
      </Field>
      {from === OTHER && (
        <Field id={`${ID}-path`} label={trans.__('artifact')}>
          <input
            id={`${ID}-path`}
            className="jp-AidpField"
            value={path}
            spellCheck={false}
            placeholder={trans.__('its path, such as model')}
            onChange={({ currentTarget }) => setPath(currentTarget.value)}
          />
        </Field>
      )}
      <Field id={`${ID}-alias`} label={trans.__('alias')}>
        <input
          id={`${ID}-alias`}
          className="jp-AidpField"
          value={alias}
          placeholder={trans.__('such as champion; may be left empty')}
          aria-invalid={alias.trim() !== '' && !isAlias(alias)}
          title={
            alias.trim() !== '' && !isAlias(alias)
              ? trans.__(
                  'Letters, digits, - and _; neither “latest” nor a number.'
                )
              : ''
          }
          onChange={({ currentTarget }) => setAlias(currentTarget.value)}
        />
      </Field>
      <Field id={`${ID}-description`} label={trans.__('about it')}>
        <textarea
          id={`${ID}-description`}
          className="jp-AidpField"
          rows={3}
          value={description}
          onChange={({ currentTarget }) => setDescription(currentTarget.value)}
        />
      </Field>
      {error && <Problem message={error.message} nextStep={error.nextStep} />}
      <div className="jp-AidpExpDialog-buttons">
        <Button onClick={close}>{trans.__('Cancel')}</Button>
        <Button
          type="submit"
          className="jp-mod-accept"
          disabled={!isFit || isBusy}
        >
          {isBusy ? trans.__('Registering…') : trans.__('Register')}
        </Button>
      </div>
    </form>
  );
}

/** The models whose names begin or go on like this. */
function useModels(
  { api }: IExperimentServices,
  words: string
): readonly IModel[] {
  const [found, setFound] = React.useState<readonly IModel[]>([]);
  React.useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(() => {
      api.models(words.trim(), abort.signal).then(
        models => !abort.signal.aborted && setFound(models.slice(0, 50)),
        // Without them a name can still be typed.
        () => undefined
      );
    }, 150);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [words]);
  return found;
}
