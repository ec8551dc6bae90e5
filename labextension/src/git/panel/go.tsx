import * as React from 'react';

import { Button, Problem } from '../../shared/panel';
import type { IPlan } from '../plan';
import { plan as planWords } from '../wording';
import { useGit, useRepository } from './context';
import { Steps } from './steps';

/** The one button; while it runs, and until that is settled, the list of its steps. */
export function Go(): React.ReactElement {
  const { prefix, trans } = useGit();
  const repository = useRepository();
  const { isReplanned, plan, shipping } = repository;
  const { error, isRunning, job } = shipping;
  const isOver = job?.state === 'done' || job?.state === 'cancelled';
  const missing = missingWords(plan, trans);
  return (
    <section
      className="jp-AidpShip-go"
      aria-label={trans.__('Ship the changes')}
    >
      {job && <Steps job={job} />}
      {!job && isRunning && <p role="status">{trans.__('Beginning…')}</p>}
      {error && <Problem message={error.message} nextStep={error.nextStep} />}
      {(!job || isOver) && !isRunning && (
        <>
          <button
            type="button"
            className="jp-AidpShip-button"
            disabled={plan.missing !== null}
            aria-busy={repository.isPreparing}
            aria-describedby={`${prefix}-go-why`}
            onClick={() => void repository.ship()}
          >
            {label(plan, trans)}
          </button>
          <p
            id={`${prefix}-go-why`}
            className="jp-AidpShip-quiet"
            role="status"
          >
            {missing}
            {!missing && plan.branch && (
              <>
                {trans.__('On a new branch, %1.', plan.branch)}{' '}
                {isReplanned &&
                  trans.__(
                    'A pull request needs one. Look at its name, and press again.'
                  )}
              </>
            )}
          </p>
        </>
      )}
      {job?.state === 'done' && !isRunning && (
        <Button onClick={() => void shipping.forget()}>
          {trans.__('Clear')}
        </Button>
      )}
    </section>
  );
}

type Trans = ReturnType<typeof useGit>['trans'];

function label(plan: IPlan, trans: Trans): string {
  const { branch, commits, pushes, request } = plan;
  const words = planWords(
    { branch: branch !== null, commit: commits, push: pushes, request },
    trans
  );
  return words ? trans.__('Ship: %1', words) : trans.__('Ship');
}

/** What is to be done before the button can be pressed. */
function missingWords({ missing }: IPlan, trans: Trans): string {
  switch (missing) {
    case 'changes':
      return trans.__('Nothing to ship: choose changes above.');
    case 'message':
      return trans.__('Write a message, or have one suggested.');
    case 'branch':
      return trans.__('Name a new branch above.');
    case 'fixes':
      return trans.__('Settle what the checks found first.');
    case 'operation':
      return trans.__('Finish what is under way first.');
    case null:
      return '';
  }
}
