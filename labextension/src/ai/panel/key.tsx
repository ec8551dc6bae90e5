import * as React from 'react';

import { useAction } from '../../shared/hooks';
import { Button, Problem } from '../../shared/panel';
import { keySourceName } from '../wording';
import type { IProvider } from '../wire';
import { usePanel } from './context';

/** Where a provider's key is, and a field for another. The key stands in that field only, until it is saved. */
export function ProviderKey(props: {
  readonly provider: IProvider;
  readonly isOpen: boolean;
  readonly onOpen: (isOpen: boolean) => void;
}): React.ReactElement | null {
  const { provider, isOpen, onOpen } = props;
  const { confirm, data, trans } = usePanel();
  const { name, label, key } = provider;
  const removal = useAction();
  const isOurs = key.source === 'keyring' || key.source === 'file';
  if (key.source === 'not_needed' && !key.editable) {
    return null;
  }
  const remove = () =>
    removal.start(async () => {
      const title = trans.__('Remove the key of %1?', label);
      if (await confirm(title, trans.__('Remove the key'))) {
        await data.removeKey(name);
      }
    });
  if (isOpen && key.editable) {
    return <KeyField provider={provider} onClose={() => onOpen(false)} />;
  }
  return (
    <div className="jp-AidpAI-row">
      <span className="jp-AidpAI-grow">{keySourceName(key.source, trans)}</span>
      {key.editable && (
        <Button onClick={() => onOpen(true)}>
          {isOurs ? trans.__('Replace') : trans.__('Add a key')}
        </Button>
      )}
      {key.editable && isOurs && (
        <Button disabled={removal.isBusy} onClick={remove}>
          {trans.__('Remove')}
        </Button>
      )}
      {removal.error && (
        <Problem
          message={removal.error.message}
          nextStep={removal.error.nextStep}
        />
      )}
    </div>
  );
}

function KeyField(props: {
  readonly provider: IProvider;
  readonly onClose: () => void;
}): React.ReactElement {
  const { provider, onClose } = props;
  const { data, trans } = usePanel();
  const { isBusy, error, start } = useAction();
  const field = React.useRef<HTMLInputElement>(null);
  React.useEffect(() => field.current?.focus(), []);
  const close = () => {
    const line = field.current?.closest('li');
    onClose();
    line?.querySelector<HTMLElement>('[aria-expanded]')?.focus();
  };
  const save = () => {
    const key = field.current?.value.trim();
    if (key) {
      start(async () => {
        await data.setKey(provider.name, key);
        close();
      });
    }
  };
  return (
    <div className="jp-AidpAI-row">
      <input
        ref={field}
        className="jp-AidpField"
        type="password"
        autoComplete="off"
        spellCheck={false}
        readOnly={isBusy}
        aria-label={trans.__('Key of %1', provider.label)}
        placeholder={trans.__('Paste the key, then Enter')}
        onKeyDown={event => {
          if (event.key === 'Enter') {
            save();
          } else if (event.key === 'Escape') {
            event.stopPropagation();
            close();
          }
        }}
      />
      <Button disabled={isBusy} onClick={save}>
        {isBusy ? trans.__('Saving…') : trans.__('Save')}
      </Button>
      <Button onClick={close}>{trans.__('Cancel')}</Button>
      {error && <Problem message={error.message} nextStep={error.nextStep} />}
    </div>
  );
}
