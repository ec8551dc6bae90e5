import * as React from 'react';

import { Button, Problem } from '../../shared/panel';
import { PanelTitle } from '../../shared/title';
import type { Repository } from '../repository';
import { CommandIDs } from '../tokens';
import { aheadBehind, forgeAddress, operationName } from '../wording';
import { useGit, useRepository } from './context';

/** A younger lock is that of a Git at work. */
const OLD_LOCK_S = 30;

/** The panel's name, and what concerns all of it. */
export function Title(): React.ReactElement {
  const { model, openMenu, trans } = useGit();
  return (
    <PanelTitle
      name={trans.__('Ship')}
      refreshLabel={trans.__('Look at everything again')}
      refresh={() => model.refresh()}
      openMenu={openMenu}
      trans={trans}
    />
  );
}

/** The first lines: which repository, which branch, and what stands in the way. */
export function Overview(): React.ReactElement {
  const { commands, hasGit, trans } = useGit();
  const repository = useRepository();
  const { state } = repository;
  const { name, path, branch, head, upstream, ahead, behind } = state;
  const shownBranch =
    branch ??
    (head
      ? trans.__('detached at %1', head.slice(0, 7))
      : trans.__('no branch'));
  const address = forgeAddress(state);
  return (
    <div className="jp-AidpShip-overview">
      <div className="jp-AidpShip-where">
        <b title={path || trans.__('The workspace itself')}>{name}</b>
        <span className="jp-AidpShip-branch" title={shownBranch}>
          <span aria-hidden>⎇ </span>
          <span className="jp-AidpPanel-hidden">{trans.__('Branch')} </span>
          {shownBranch}
        </span>
        <span className="jp-AidpShip-ahead" title={aheadBehind(state, trans)}>
          {upstream ? (
            <>
              <span aria-hidden>
                ↑{ahead} ↓{behind}
              </span>
              <span className="jp-AidpPanel-hidden">
                {aheadBehind(state, trans)}
              </span>
            </>
          ) : (
            <small>
              {state.remotes.length > 0
                ? trans.__('not pushed')
                : trans.__('no remote')}
            </small>
          )}
        </span>
      </div>
      <div className="jp-AidpShip-links">
        {address ? (
          <a href={address} target="_blank" rel="noopener noreferrer">
            {address.slice('https://'.length)}
          </a>
        ) : (
          <small>{state.remotes[0]?.url}</small>
        )}
        {hasGit() && (
          <button
            type="button"
            className="jp-AidpShip-link"
            onClick={() => void commands.execute(CommandIDs.openGit)}
          >
            {trans.__('open in Git')}
          </button>
        )}
      </div>
      <Hindrances repository={repository} />
    </div>
  );
}

/** What went wrong, what is half done, what was left behind. */
function Hindrances({
  repository
}: {
  readonly repository: Repository;
}): React.ReactElement {
  const { commands, hasGit, trans } = useGit();
  const { error, state, doing } = repository;
  const { operation, lock_age_s, behind } = state;
  // Of a conflict the operation that stopped at it tells, with the ways on.
  const isTold = operation !== null && error?.code === 'merge_conflict';
  const run = (command: string) => () => void commands.execute(command);
  return (
    <>
      {error && !isTold && (
        <Problem
          message={error.message}
          nextStep={error.nextStep}
          action={{
            label: trans.__('Dismiss'),
            run: () => repository.dismiss()
          }}
        />
      )}
      {operation && (
        <div className="jp-AidpProblem" role="status">
          <p>
            {operationName(operation, trans)}{' '}
            {repository.hasConflicts
              ? trans.__('Settle the conflicts, then go on; or take it back.')
              : trans.__('No conflicts are left: go on, or take it back.')}
          </p>
          <div className="jp-AidpShip-buttons">
            {operation !== 'bisect' && (
              <>
                <Button
                  disabled={repository.hasConflicts || doing !== null}
                  onClick={() => void repository.carryOn()}
                >
                  {trans.__('Go on')}
                </Button>
                <Button onClick={run(CommandIDs.abort)}>
                  {trans.__('Take it back…')}
                </Button>
              </>
            )}
            {hasGit() && (
              <Button onClick={run(CommandIDs.openGit)}>
                {trans.__('Open in Git')}
              </Button>
            )}
          </div>
        </div>
      )}
      {lock_age_s !== null && lock_age_s >= OLD_LOCK_S && (
        <div className="jp-AidpProblem" role="status">
          <p>
            {trans.__(
              'Git has locked this repository for %1 s: something is at work, or was ended in the middle of it.',
              Math.round(lock_age_s)
            )}
          </p>
          <Button onClick={run(CommandIDs.unlock)}>
            {trans.__('Remove the lock…')}
          </Button>
        </div>
      )}
      {behind > 0 && !operation && (
        <p className="jp-AidpShip-row">
          <span className="jp-AidpShip-grow">
            {trans._n(
              'The remote has %1 commit more.',
              'The remote has %1 commits more.',
              behind
            )}
          </span>
          <Button disabled={doing !== null} onClick={run(CommandIDs.pull)}>
            {doing === 'pull' ? trans.__('Pulling…') : trans.__('Pull')}
          </Button>
        </p>
      )}
    </>
  );
}
