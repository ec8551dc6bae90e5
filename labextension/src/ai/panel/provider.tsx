import * as React from 'react';

import { useAction } from '../../shared/hooks';
import { Button, Problem } from '../../shared/panel';
import { Prose } from '../../shared/prose';
import type { IProvider, ITestResult } from '../wire';
import { usePanel } from './context';
import { ProviderKey } from './key';
import { Models } from './models';
import { PullModel } from './pull';

/** How a provider is doing in full, and all that can be done with it. */
export function ProviderDetails(props: {
  readonly provider: IProvider;
  readonly isAddingKey: boolean;
  readonly onAddKey: (isAdding: boolean) => void;
}): React.ReactElement {
  const { provider, isAddingKey, onAddKey } = props;
  const { clock, format, model, trans } = usePanel();
  const checked = React.useSyncExternalStore(clock.subscribe, () =>
    provider.checked_at ? format.ago(provider.checked_at) : ''
  );
  const isIdle = provider.state === 'unconfigured';
  return (
    <>
      <p>
        <Prose text={provider.message} />{' '}
        {provider.state !== 'ready' && <Prose text={provider.next_step} />}
      </p>
      {provider.url && (
        <p className="jp-AidpAI-url">
          <code>{provider.url}</code>
          {checked && (
            <span title={format.absolute(provider.checked_at!)}>
              {trans.__('checked %1', checked)}
            </span>
          )}
        </p>
      )}
      {model.keysAllowed && (
        <ProviderKey
          provider={provider}
          isOpen={isAddingKey}
          onOpen={onAddKey}
        />
      )}
      {!isIdle && provider.state !== 'disabled' && <Test provider={provider} />}
      {provider.can_pull && <PullModel provider={provider} />}
      {provider.models.length > 0 && <Models models={provider.models} />}
    </>
  );
}

/** One tiny call, to see whether it works and how fast. */
function Test({
  provider
}: {
  readonly provider: IProvider;
}): React.ReactElement {
  const { api, format, model, trans } = usePanel();
  const { isBusy, error, start } = useAction();
  const [result, setResult] = React.useState<ITestResult | null>(null);
  const test = () =>
    start(async () => {
      setResult(null);
      setResult(await api.test(provider.name));
      await model.loadProviders();
    });
  return (
    <div className="jp-AidpAI-row">
      <Button
        disabled={isBusy}
        title={trans.__('Ask it anew, with one tiny call')}
        onClick={test}
      >
        {isBusy ? trans.__('Testing…') : trans.__('Test')}
      </Button>
      <span className="jp-AidpAI-grow" role="status">
        {result?.ok &&
          trans.__(
            '✔ %1 answered in %2',
            result.route?.slice(result.route.indexOf('/') + 1) ??
              provider.label,
            format.duration(result.ms)
          )}
      </span>
      {result && !result.ok && (
        <Problem message={result.message} nextStep={result.next_step} />
      )}
      {error && <Problem message={error.message} nextStep={error.nextStep} />}
    </div>
  );
}
