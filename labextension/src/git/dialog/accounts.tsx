import { closeIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IconButton, Select } from '../../shared/controls';
import { useAction, useSignals } from '../../shared/hooks';
import type { PanelState } from '../../shared/panel';
import { Button, Panel, Problem } from '../../shared/panel';
import { useGit } from '../panel/context';
import type { IAccount } from '../wire';
import { Device } from './device';

/** Who the user is on the forges, in a dialog of its own. */
export function AccountList({
  close
}: {
  readonly close: () => void;
}): React.ReactElement {
  const { model, trans } = useGit();
  React.useEffect(() => void model.accounts.list.load(), []);
  return (
    <div className="jp-AidpGitDialog-frame">
      <div className="jp-AidpTitle jp-AidpGitDialog-title">
        <h2>{trans.__('Accounts')}</h2>
        <IconButton
          icon={closeIcon}
          label={trans.__('Close')}
          onClick={close}
        />
      </div>
      <Accounts />
    </div>
  );
}

/** The accounts, each with what can be done about it, and a way to one more. */
export function Accounts(): React.ReactElement {
  const { model, trans } = useGit();
  const { accounts } = model;
  useSignals(accounts.changed);
  const { value, error } = accounts.list;
  const state: PanelState = value
    ? { kind: 'full' }
    : error
      ? { kind: 'error', error, retry: () => void accounts.list.load() }
      : { kind: 'loading' };
  return (
    <Panel state={state} trans={trans}>
      <ul
        className="jp-AidpGitDialog-accounts"
        aria-label={trans.__('Accounts')}
      >
        {value?.map(account => (
          <Account key={account.host} account={account} />
        ))}
      </ul>
      <Another />
    </Panel>
  );
}

/** A GitHub Enterprise or a GitLab that is not in the list. */
function Another(): React.ReactElement {
  const { model, prefix, trans } = useGit();
  const [isOpen, setOpen] = React.useState(false);
  const [url, setUrl] = React.useState('');
  const [kind, setKind] = React.useState<IAccount['kind']>('github');
  const button = React.useRef<HTMLButtonElement>(null);
  const id = `${prefix}-server`;
  const close = () => {
    setOpen(false);
    setUrl('');
    requestAnimationFrame(() => button.current?.focus());
  };
  if (!isOpen) {
    return (
      <Button ref={button} onClick={() => setOpen(true)}>
        {trans.__('Another server…')}
      </Button>
    );
  }
  return (
    <section
      className="jp-AidpGitDialog-server"
      aria-label={trans.__('Another server')}
    >
      <div className="jp-AidpShip-row">
        <Select
          label={trans.__('What it is')}
          value={kind}
          options={[
            ['github', trans.__('GitHub Enterprise')],
            ['gitlab', trans.__('GitLab')]
          ]}
          onChange={setKind}
        />
        <input
          className="jp-AidpField"
          type="url"
          autoFocus
          spellCheck={false}
          autoCapitalize="off"
          value={url}
          aria-label={trans.__('Address of the server')}
          aria-describedby={id}
          placeholder={trans.__('https://git.example.org')}
          onChange={event => setUrl(event.currentTarget.value)}
          onKeyDown={event => {
            if (event.key === 'Escape') {
              event.stopPropagation();
              event.preventDefault();
              close();
            }
          }}
        />
      </div>
      <small id={id}>
        {trans.__('Only https addresses are taken, of the server alone.')}
      </small>
      <TokenField
        host={url.trim()}
        kind={kind}
        isFocused={false}
        add={token => model.accounts.addServer(url.trim(), kind, token)}
        onClose={close}
      />
    </section>
  );
}

function Account({
  account
}: {
  readonly account: IAccount;
}): React.ReactElement {
  const { model, trans } = useGit();
  const { host, kind, login, name, email, source, problem } = account;
  const [isAdding, setAdding] = React.useState(false);
  const [isLeaving, setLeaving] = React.useState(false);
  const removal = useAction();
  const { flow } = model.accounts;
  const remove = () => removal.start(() => model.accounts.remove(host));
  return (
    <li>
      <div className="jp-AidpShip-row">
        <span className="jp-AidpShip-grow">
          <b>{host}</b>{' '}
          {source === 'none' ? (
            <small>{trans.__('not signed in')}</small>
          ) : (
            <span title={sourceName(source, trans)}>
              {login ?? trans.__('signed in')}
            </span>
          )}
        </span>
        {source !== 'hub' && account.can_use_device && (
          <Button onClick={() => void model.accounts.signIn(host)}>
            {trans.__('Sign in')}
          </Button>
        )}
        {source !== 'hub' && (
          <Button aria-expanded={isAdding} onClick={() => setAdding(!isAdding)}>
            {source === 'keyring'
              ? trans.__('Replace the token')
              : trans.__('Add a token')}
          </Button>
        )}
        {source === 'keyring' && (
          <Button
            aria-expanded={isLeaving}
            onClick={() => setLeaving(!isLeaving)}
          >
            {trans.__('Remove')}
          </Button>
        )}
      </div>
      {source !== 'none' && (
        <small>
          {[
            name || email
              ? trans.__(
                  'commits as %1',
                  [name, email && `<${email}>`].filter(Boolean).join(' ')
                )
              : '',
            sourceName(source, trans)
          ]
            .filter(Boolean)
            .join(' · ')}
        </small>
      )}
      {isLeaving && source === 'keyring' && (
        // Lab's own question would be below this dialog.
        <div className="jp-AidpProblem" role="alert">
          <p>{trans.__('Remove the token for %1?', host)}</p>
          <div className="jp-AidpShip-buttons">
            <Button disabled={removal.isBusy} onClick={remove}>
              {trans.__('Remove the token')}
            </Button>
            <Button onClick={() => setLeaving(false)}>
              {trans.__('Keep it')}
            </Button>
          </div>
        </div>
      )}
      {problem && <Problem message={problem} />}
      {removal.error && (
        <Problem
          message={removal.error.message}
          nextStep={removal.error.nextStep}
        />
      )}
      {flow?.host === host && <Device flow={flow} />}
      {isAdding && (
        <TokenField
          host={host}
          kind={kind}
          isFocused
          add={token => model.accounts.add(host, kind, token)}
          onClose={() => setAdding(false)}
        />
      )}
    </li>
  );
}

function sourceName(
  source: IAccount['source'],
  trans: ReturnType<typeof useGit>['trans']
): string {
  switch (source) {
    case 'hub':
      return trans.__('from your sign-in to the hub');
    case 'keyring':
      return trans.__('token in the keyring');
    case 'none':
      return '';
  }
}

/** A field for a token, which stands in it only, until it is saved. */
function TokenField(props: {
  readonly host: string;
  readonly kind: IAccount['kind'];
  /** Whether it takes the keyboard when it appears. */
  readonly isFocused: boolean;
  readonly add: (token: string) => Promise<void>;
  readonly onClose: () => void;
}): React.ReactElement {
  const { add, host, isFocused, kind, onClose } = props;
  const { trans } = useGit();
  const { isBusy, error, start } = useAction();
  const field = React.useRef<HTMLInputElement>(null);
  React.useEffect(() => {
    if (isFocused) {
      field.current?.focus();
    }
  }, []);
  const save = () => {
    const token = field.current?.value.trim();
    if (token && host) {
      start(async () => {
        await add(token);
        onClose();
      });
    }
  };
  return (
    <div className="jp-AidpShip-row">
      <input
        ref={field}
        className="jp-AidpField"
        type="password"
        autoComplete="off"
        spellCheck={false}
        readOnly={isBusy}
        aria-label={host ? trans.__('Token for %1', host) : trans.__('Token')}
        placeholder={trans.__('Paste the token, then Enter')}
        onKeyDown={event => {
          if (event.key === 'Enter') {
            save();
          } else if (event.key === 'Escape') {
            event.stopPropagation();
            event.preventDefault();
            onClose();
          }
        }}
      />
      <Button disabled={isBusy || !host} onClick={save}>
        {isBusy ? trans.__('Asking %1…', host) : trans.__('Save')}
      </Button>
      <Button onClick={onClose}>{trans.__('Cancel')}</Button>
      <small>
        {kind === 'github'
          ? trans.__(
              'It needs: contents and pull requests (write), checks (read). It is kept in the keyring.'
            )
          : trans.__('It needs the scope api. It is kept in the keyring.')}
      </small>
      {error && <Problem message={error.message} nextStep={error.nextStep} />}
    </div>
  );
}
