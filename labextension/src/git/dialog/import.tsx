import { closeIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IconButton, Select } from '../../shared/controls';
import { useSignals } from '../../shared/hooks';
import type { PanelState } from '../../shared/panel';
import { Button, Panel } from '../../shared/panel';
import { nameOf } from '../clones';
import { useGit } from '../panel/context';
import type { CloneMode, IRemoteRepository } from '../wire';
import { Accounts } from './accounts';
import { Arriving } from './arriving';
import { useFound } from './found';

/** Bring a repository into the workspace: one of the user's, or any by its address. */
export function ImportRepository({
  close
}: {
  readonly close: () => void;
}): React.ReactElement {
  const { model, trans } = useGit();
  const { accounts, clones, folder } = model;
  useSignals(accounts.changed, clones.changed);
  React.useEffect(() => void accounts.list.load(), []);
  const [mode, setMode] = React.useState<CloneMode>('auto');
  const [showsAccounts, setShowsAccounts] = React.useState(false);
  // It opens what has come; the dialog would be in the way.
  const isDone = clones.current?.state === 'done';
  React.useEffect(() => {
    if (isDone) {
      close();
    }
  }, [isDone]);
  const start = (url: string) => {
    void clones.start({ url, folder, mode });
  };
  return (
    <div className="jp-AidpGitDialog-frame">
      <div className="jp-AidpTitle jp-AidpGitDialog-title">
        <h2>{trans.__('Import a repository')}</h2>
        <IconButton
          icon={closeIcon}
          label={trans.__('Close')}
          onClick={close}
        />
      </div>
      <Arriving />
      <ByAddress isBusy={clones.isRunning} onStart={start} />
      <div className="jp-AidpShip-row">
        <small className="jp-AidpShip-grow">
          {trans.__('It comes into %1.', folder || trans.__('the workspace'))}
        </small>
        <Select
          label={trans.__('How much of the history')}
          value={mode}
          options={[
            ['auto', trans.__('history as fits the size')],
            ['shallow', trans.__('only the last state')],
            ['full', trans.__('the whole history')]
          ]}
          onChange={setMode}
        />
      </div>
      {showsAccounts || accounts.usable.length === 0 ? (
        <>
          <p>
            {accounts.usable.length === 0 &&
              trans.__('Sign in to see your repositories.')}
          </p>
          <Accounts />
          {accounts.usable.length > 0 && (
            <Button onClick={() => setShowsAccounts(false)}>
              {trans.__('Back to the repositories')}
            </Button>
          )}
        </>
      ) : (
        <Mine
          onStart={start}
          onAccounts={() => setShowsAccounts(true)}
          close={close}
        />
      )}
    </div>
  );
}

function ByAddress(props: {
  readonly isBusy: boolean;
  readonly onStart: (url: string) => void;
}): React.ReactElement {
  const { isBusy, onStart } = props;
  const { trans } = useGit();
  const [url, setUrl] = React.useState('');
  const start = () => {
    if (url.trim() && !isBusy) {
      onStart(url.trim());
      setUrl('');
    }
  };
  return (
    <div className="jp-AidpShip-row">
      <input
        className="jp-AidpField jp-AidpShip-grow"
        value={url}
        spellCheck={false}
        autoCapitalize="off"
        inputMode="url"
        aria-label={trans.__('Address of a repository')}
        placeholder={trans.__('By address: https://…')}
        onChange={event => setUrl(event.currentTarget.value)}
        onKeyDown={event => event.key === 'Enter' && start()}
      />
      <Button disabled={!url.trim() || isBusy} onClick={start}>
        {trans.__('Import')}
      </Button>
    </div>
  );
}

/** The user's repositories on a forge, the ones used last first. */
function Mine(props: {
  readonly onStart: (url: string) => void;
  readonly onAccounts: () => void;
  readonly close: () => void;
}): React.ReactElement {
  const { onStart, onAccounts, close } = props;
  const { model, trans } = useGit();
  const { usable } = model.accounts;
  const [host, setHost] = React.useState(usable[0]!.host);
  const [words, setWords] = React.useState('');
  const account = usable.find(one => one.host === host) ?? usable[0]!;
  const { error, found, hasMore, isLoading, more, retry } = useFound(
    account.host,
    words
  );
  const state: PanelState = error
    ? { kind: 'error', error, retry }
    : !found
      ? { kind: 'loading' }
      : found.length === 0
        ? {
            kind: 'empty',
            text: words.trim()
              ? trans.__('No repository of yours is called like that.')
              : trans.__('You have no repository there yet.')
          }
        : { kind: 'full' };
  const moved = (event: React.KeyboardEvent<HTMLElement>) => {
    const stops = [
      ...event.currentTarget.querySelectorAll<HTMLElement>(
        'input[type="search"], li > button'
      )
    ];
    const at = stops.findIndex(one => one === document.activeElement);
    const to: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1
    };
    if (event.key in to && at >= 0) {
      stops[Math.max(0, to[event.key]!)]?.focus();
      event.preventDefault();
    } else if (event.key === 'Escape') {
      // At once, also where a search field would be emptied first.
      close();
      event.preventDefault();
    }
  };
  return (
    <div className="jp-AidpGitDialog-mine" onKeyDown={moved}>
      <div className="jp-AidpShip-row">
        <input
          type="search"
          autoFocus
          className="jp-AidpField jp-AidpShip-grow"
          value={words}
          aria-label={trans.__('Search your repositories')}
          placeholder={trans.__('Search your repositories')}
          onChange={event => setWords(event.currentTarget.value)}
        />
        {usable.length > 1 && (
          <Select
            label={trans.__('Where')}
            value={account.host}
            options={usable.map(one => [one.host, one.host])}
            onChange={setHost}
          />
        )}
        <Button onClick={onAccounts} title={trans.__('Accounts')}>
          {account.login ?? trans.__('Accounts')}
        </Button>
      </div>
      <div className="jp-AidpGitDialog-list" aria-live="polite">
        <Panel state={state} trans={trans}>
          <ul aria-label={trans.__('Your repositories')}>
            {found?.map(one => (
              <Found key={one.full_name} found={one} onStart={onStart} />
            ))}
          </ul>
          {hasMore && (
            <Button disabled={isLoading} onClick={more}>
              {isLoading ? trans.__('Looking…') : trans.__('Show more')}
            </Button>
          )}
        </Panel>
      </div>
    </div>
  );
}

function Found(props: {
  readonly found: IRemoteRepository;
  readonly onStart: (url: string) => void;
}): React.ReactElement {
  const { found, onStart } = props;
  const { format, model, trans } = useGit();
  const { full_name, clone_url, description, updated_at, size_kb } = found;
  const name = nameOf({ url: clone_url, folder: '', mode: 'auto' });
  const marks = [
    found.private && trans.__('private'),
    found.fork && trans.__('fork'),
    found.archived && trans.__('archived')
  ].filter(Boolean);
  return (
    <li>
      <button
        type="button"
        className="jp-AidpGitDialog-line"
        title={trans.__('Import %1 into %2', full_name, name)}
        aria-disabled={model.clones.isRunning}
        onClick={() => onStart(clone_url)}
      >
        <span className="jp-AidpGitDialog-name">
          {found.owner}/<b>{found.name}</b>
        </span>
        <span className="jp-AidpGitDialog-marks">
          {marks.map(mark => (
            <span className="jp-AidpShip-mark" key={String(mark)}>
              {mark}
            </span>
          ))}
        </span>
        <small>
          {[
            updated_at && format.ago(updated_at),
            size_kb !== null && format.bytes(size_kb * 1000),
            description
          ]
            .filter(Boolean)
            .join(' · ')}
        </small>
      </button>
    </li>
  );
}
