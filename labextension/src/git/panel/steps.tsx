import * as React from 'react';

import { Button } from '../../shared/panel';
import { Prose } from '../../shared/prose';
import { CommandIDs } from '../tokens';
import type { IShipJob, IShipStep, IStepError } from '../wire';
import {
  announcement,
  jobState,
  stepName,
  stepSign,
  stepState,
  visible
} from '../wording';
import { useGit, useRepository } from './context';

/** How far a job is: each step with its state, the failing one open with its words. */
export function Steps({ job }: { readonly job: IShipJob }): React.ReactElement {
  const { trans } = useGit();
  const { shipping } = useRepository();
  const { isCancelling, isRunning } = shipping;
  const { state, steps, pull_request, commit } = job;
  const canGoOn = !isRunning && state !== 'done' && state !== 'running';
  const frame = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => {
    // The button that was pressed is gone: the keyboard stays here.
    if (document.activeElement === document.body) {
      frame.current?.focus();
    }
  }, [state]);
  return (
    <div
      ref={frame}
      className="jp-AidpShip-job"
      data-state={state}
      tabIndex={-1}
    >
      <p className="jp-AidpPanel-hidden" role="status">
        {announcement(job, trans)}
      </p>
      <div className="jp-AidpShip-row">
        <b className="jp-AidpShip-grow">
          {jobState(state, trans)}
          {commit && state === 'done' && <> · {commit.slice(0, 7)}</>}
        </b>
        {isRunning && state !== 'done' && (
          <Button
            disabled={isCancelling}
            onClick={() => void shipping.cancel()}
          >
            {isCancelling ? trans.__('Stopping…') : trans.__('Cancel')}
          </Button>
        )}
      </div>
      {(job.branch || job.message) && state !== 'done' && (
        <p className="jp-AidpShip-quiet">
          {[job.branch, job.message.split('\n')[0]].filter(Boolean).join(' · ')}
        </p>
      )}
      <ol className="jp-AidpShip-steps" aria-label={trans.__('Steps')}>
        {steps.map(step => (
          <Step key={step.name} step={step} />
        ))}
      </ol>
      {canGoOn && (
        <div className="jp-AidpShip-buttons">
          <Button onClick={() => void shipping.resume()}>
            {state === 'failed'
              ? trans.__('Retry from here')
              : trans.__('Go on from here')}
          </Button>
          <Button onClick={() => void shipping.forget()}>
            {state === 'cancelled' ? trans.__('Clear') : trans.__('Cancel')}
          </Button>
        </div>
      )}
      {pull_request && (
        <p>
          <a href={pull_request.url} target="_blank" rel="noopener noreferrer">
            {trans.__('Pull request #%1', pull_request.number)}
          </a>
        </p>
      )}
    </div>
  );
}

function Step({ step }: { readonly step: IShipStep }): React.ReactElement {
  const { trans } = useGit();
  const { name, state, text, error } = step;
  return (
    <li
      data-state={state}
      aria-current={state === 'running' ? 'step' : undefined}
    >
      <span className="jp-AidpShip-sign" aria-hidden>
        {stepSign(state)}
      </span>
      <span>{stepName(name, trans)}</span>
      <span className="jp-AidpPanel-hidden">{stepState(state, trans)}</span>
      <span className="jp-AidpShip-said" title={text}>
        {text}
      </span>
      {error && <StepFailure error={error} />}
    </li>
  );
}

/** What went wrong in a step, what to do, and the ways to do it. */
function StepFailure({
  error
}: {
  readonly error: IStepError;
}): React.ReactElement {
  const { commands, hasGit, openChange, openPlace, trans } = useGit();
  const repository = useRepository();
  const details = error.details ?? {};
  const { next_step, output, files } = details;
  const run = (command: string) => () => void commands.execute(command);
  const paths = Array.isArray(files) ? files.map(String) : [];
  const open = (path: string) => {
    const { changes } = repository.state;
    const change = changes.find(
      one => one.path === path && one.kind === 'conflict'
    );
    if (change) {
      openChange(repository, change);
    } else {
      openPlace(repository, { path });
    }
  };
  return (
    <div className="jp-AidpProblem jp-AidpShip-failure">
      <p>
        <Prose text={error.message} />{' '}
        {typeof next_step === 'string' && <Prose text={next_step} />}
      </p>
      {paths.length > 0 && (
        <ul aria-label={trans.__('Files')}>
          {paths.map(path => (
            <li key={path}>
              <button
                type="button"
                className="jp-AidpShip-link"
                onClick={() => open(path)}
              >
                {visible(path)}
              </button>
            </li>
          ))}
        </ul>
      )}
      {typeof output === 'string' && output && (
        <pre tabIndex={0} aria-label={trans.__('What it said')}>
          {output}
        </pre>
      )}
      <div className="jp-AidpShip-buttons">
        {error.code === 'merge_conflict' && (
          <>
            {hasGit() && (
              <Button onClick={run(CommandIDs.openGit)}>
                {trans.__('Open in Git')}
              </Button>
            )}
            {repository.state.operation && (
              <Button onClick={run(CommandIDs.abort)}>
                {trans.__('Take it back…')}
              </Button>
            )}
          </>
        )}
        {ABOUT_ACCOUNTS.includes(error.code) && (
          <Button onClick={run(CommandIDs.accounts)}>
            {trans.__('Accounts…')}
          </Button>
        )}
        {ABOUT_CHECKS.includes(error.code) && (
          <Button onClick={run(CommandIDs.check)}>
            {trans.__('Show the findings')}
          </Button>
        )}
        {error.code === 'repository_busy' && (
          <Button onClick={run(CommandIDs.unlock)}>
            {trans.__('Remove the lock…')}
          </Button>
        )}
      </div>
    </div>
  );
}

const ABOUT_ACCOUNTS = [
  'authentication_failed',
  'signed_out_of_forge',
  'unavailable'
];
const ABOUT_CHECKS = ['checks_found', 'hook_failed', 'secrets_staged'];
