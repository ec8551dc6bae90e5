import { addIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IconButton } from '../../shared/controls';
import { Folds, useUnfolded } from '../../shared/folds';
import type { PanelState } from '../../shared/panel';
import { Panel } from '../../shared/panel';
import { Section } from '../../shared/section';
import { providerState } from '../wording';
import type { IProvider } from '../wire';
import { usePanel } from './context';
import { ProviderDetails } from './provider';

/** Every model server, how it is doing, and what it has. */
export function Providers(): React.ReactElement {
  const { model, trans } = usePanel();
  const [isOpen, setOpen] = React.useState(true);
  const unfolded = useUnfolded();
  /** Whose field for a key is open. */
  const [adding, setAdding] = React.useState<string | null>(null);
  const { providers, error } = model;
  const ready = providers?.filter(({ state }) => state === 'ready').length;
  const state: PanelState =
    providers === null
      ? error
        ? { kind: 'error', error, retry: () => void model.check() }
        : { kind: 'loading' }
      : providers.length === 0
        ? {
            kind: 'empty',
            text: trans.__('The servers that models run on appear here.'),
            action: {
              label: trans.__('Check again'),
              run: () => void model.check()
            }
          }
        : { kind: 'full' };
  return (
    <Section
      id="jp-aidp-providers"
      title={trans.__('Providers')}
      summary={
        !!providers?.length &&
        trans.__('%1 of %2 ready', ready ?? 0, providers.length)
      }
      isOpen={isOpen}
      onToggle={setOpen}
    >
      <Panel state={state} trans={trans}>
        <Folds
          label={trans.__('Providers')}
          unfolded={unfolded}
          items={(providers ?? []).map(provider => {
            const { name, label } = provider;
            const add = () => {
              unfolded.set(name, true);
              setAdding(name);
            };
            return {
              key: name,
              state: provider.state,
              head: <Head provider={provider} />,
              aside: mayAddKey(provider) && (
                <IconButton
                  icon={addIcon}
                  label={trans.__('Add a key for %1', label)}
                  onClick={add}
                />
              ),
              body: () => (
                <ProviderDetails
                  provider={provider}
                  isAddingKey={adding === name}
                  onAddKey={isAdding => setAdding(isAdding ? name : null)}
                />
              )
            };
          })}
        />
      </Panel>
    </Section>
  );

  function mayAddKey({ key }: IProvider): boolean {
    return model.keysAllowed && key.editable && key.source === 'none';
  }
}

function Head({
  provider
}: {
  readonly provider: IProvider;
}): React.ReactElement {
  const { model, trans } = usePanel();
  const { label, state, models, key } = provider;
  const loaded = models.filter(one => one.state === 'loaded').length;
  const ill = models.filter(one => one.health !== 'ok').length;
  const words =
    state === 'unconfigured' &&
    model.keysAllowed &&
    key.editable &&
    key.source === 'none'
      ? trans.__('add a key')
      : providerState(provider, trans);
  return (
    <>
      <span className="jp-AidpDot" aria-hidden />
      <span className="jp-AidpFolds-name" title={label}>
        {label}
      </span>
      <span className="jp-AidpFolds-note">
        {state !== 'ready'
          ? words
          : ill > 0
            ? trans.__('%1, %2 failing', words, ill)
            : loaded > 0
              ? trans.__('%1, %2 loaded', words, loaded)
              : words}
      </span>
    </>
  );
}
