import * as React from 'react';

import { useSignals } from '../../shared/hooks';
import type { IFold } from '../../shared/folds';
import { Folds, useUnfolded } from '../../shared/folds';
import { Problem } from '../../shared/panel';
import { Section } from '../../shared/section';
import type { IForgeCheck, IPullRequest } from '../wire';
import { useGit, useRepository } from './context';

type Trans = ReturnType<typeof useGit>['trans'];

/** The pull request of the branch, and how its checks fare. */
export function ForgeState(): React.ReactElement | null {
  const { prefix, trans } = useGit();
  const repository = useRepository();
  const { request } = repository;
  useSignals(request.changed);
  const { value, error } = request;
  const [isOpen, setOpen] = React.useState(true);
  const { pull_request, checks } = value ?? {};
  if (!repository.isOnForge || (!pull_request && !checks?.checks.length)) {
    return error && repository.isOnForge && value === null ? (
      <Problem
        message={error.message}
        nextStep={error.nextStep}
        action={{
          label: trans.__('Try again'),
          run: () => void request.load()
        }}
      />
    ) : null;
  }
  return (
    <Section
      id={`${prefix}-forge`}
      title={
        pull_request
          ? trans.__('Pull request #%1', pull_request.number)
          : trans.__('Checks of the last push')
      }
      summary={
        <span role="status">
          {[
            pull_request && requestState(pull_request, trans),
            checks && overall(checks.state, trans)
          ]
            .filter(Boolean)
            .join(' · ')}
        </span>
      }
      isOpen={isOpen}
      onToggle={setOpen}
    >
      {pull_request && (
        <p>
          <a href={pull_request.url} target="_blank" rel="noopener noreferrer">
            {pull_request.title}
          </a>{' '}
          <small>
            {pull_request.head} → {pull_request.base}
          </small>
        </p>
      )}
      {pull_request?.notes.map(note => (
        <p className="jp-AidpShip-quiet" key={note}>
          {note}
        </p>
      ))}
      {checks && checks.checks.length > 0 && <List checks={checks.checks} />}
      {error && value && (
        <p className="jp-AidpShip-quiet">
          {trans.__('Not up to date: %1', error.message)}
        </p>
      )}
    </Section>
  );
}

const SIGNS = {
  pending: '◐',
  success: '✔',
  failure: '✖',
  neutral: '–'
} as const;

function List({
  checks
}: {
  readonly checks: readonly IForgeCheck[];
}): React.ReactElement {
  const { trans } = useGit();
  const unfolded = useUnfolded();
  const items = checks.map<IFold>(check => {
    const { name, state, summary, url } = check;
    return {
      key: `${name} ${url ?? ''}`,
      state,
      head: (
        <>
          <span className="jp-AidpShip-sign" data-state={state} aria-hidden>
            {SIGNS[state]}
          </span>
          <span className="jp-AidpFolds-name" title={name}>
            {name}
          </span>
          <span className="jp-AidpFolds-note">{checkState(state, trans)}</span>
        </>
      ),
      body: () => (
        <>
          {summary && <p>{summary}</p>}
          {check.log_tail && (
            <pre tabIndex={0} aria-label={trans.__('The end of its log')}>
              {check.log_tail}
            </pre>
          )}
          {url && (
            <a href={url} target="_blank" rel="noopener noreferrer">
              {trans.__('Open it')}
            </a>
          )}
          {!summary && !check.log_tail && !url && (
            <p>{trans.__('Nothing more is known of it.')}</p>
          )}
        </>
      )
    };
  });
  const failed = items.find(({ state }) => state === 'failure')?.key;
  // The first that fails is what one wants to read.
  React.useEffect(() => {
    if (failed !== undefined) {
      unfolded.set(failed, true);
    }
  }, [failed]);
  return <Folds label={trans.__('Checks')} items={items} unfolded={unfolded} />;
}

function requestState({ state, draft }: IPullRequest, trans: Trans): string {
  switch (state) {
    case 'open':
      return draft ? trans.__('draft') : trans.__('open');
    case 'closed':
      return trans.__('closed');
    case 'merged':
      return trans.__('merged');
  }
}

function checkState(state: IForgeCheck['state'], trans: Trans): string {
  switch (state) {
    case 'pending':
      return trans.__('running');
    case 'success':
      return trans.__('passed');
    case 'failure':
      return trans.__('failed');
    case 'neutral':
      return trans.__('skipped');
  }
}

function overall(
  state: 'pending' | 'success' | 'failure' | 'none',
  trans: Trans
): string {
  switch (state) {
    case 'pending':
      return trans.__('◐ checks run');
    case 'success':
      return trans.__('✔ checks passed');
    case 'failure':
      return trans.__('✖ checks failed');
    case 'none':
      return '';
  }
}
