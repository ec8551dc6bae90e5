import * as React from 'react';

import { Button, Panel } from '../../shared/panel';
import { Prose } from '../../shared/prose';
import { Section } from '../../shared/section';
import type { ICheckResult, IFinding } from '../wire';
import { checkName, place, severityName } from '../wording';
import { useGit, useRepository } from './context';
import { Path } from './path';

/** What was found in what would be committed, with what can be done about each. */
export function Checks(): React.ReactElement {
  const { prefix, trans } = useGit();
  const { preflight } = useRepository();
  const { blocking, findings, isCurrent, isDone, isRunning } = preflight;
  const isNews = isRunning || findings.length > 0 || preflight.error !== null;
  const [isOpen, setOpen] = React.useState(isNews);
  // News unfold by themselves.
  React.useEffect(() => {
    if (isNews) {
      setOpen(true);
    }
  }, [isNews]);
  const summary = isRunning
    ? trans.__('looking…')
    : blocking > 0
      ? trans._n('%1 to fix', '%1 to fix', blocking)
      : !isDone
        ? ''
        : !isCurrent
          ? trans.__('changed since')
          : findings.length > 0
            ? trans._n('%1 to look at', '%1 to look at', findings.length)
            : trans.__('✔ all well');
  return (
    <Section
      id={`${prefix}-checks`}
      title={trans.__('Checks')}
      summary={<span role="status">{summary}</span>}
      actions={
        <Button
          className="jp-AidpShip-all"
          onClick={() => (isRunning ? preflight.stop() : void preflight.run())}
        >
          {isRunning ? trans.__('stop') : trans.__('check')}
        </Button>
      }
      isOpen={isOpen}
      onToggle={setOpen}
    >
      <Results />
    </Section>
  );
}

function Results(): React.ReactElement {
  const { trans } = useGit();
  const { preflight } = useRepository();
  const { error, isRunning, results } = preflight;
  const quiet = results.filter(
    ({ findings, skipped, note }) => findings.length === 0 && !skipped && !note
  );
  const told = results.filter(
    ({ skipped, note, findings }) => (skipped || note) && findings.length === 0
  );
  if (error) {
    const retry = () => void preflight.run();
    return <Panel state={{ kind: 'error', error, retry }} trans={trans} />;
  }
  if (results.length === 0) {
    return isRunning ? (
      <Panel state={{ kind: 'loading' }} trans={trans} />
    ) : (
      <p className="jp-AidpShip-quiet">
        {trans.__(
          'Secrets, outputs, large files, conflicts and hooks are looked at before a commit, or now.'
        )}
      </p>
    );
  }
  return (
    <>
      <ul className="jp-AidpShip-findings" aria-label={trans.__('Findings')}>
        {results.flatMap(result =>
          result.findings.map(finding => (
            <Finding key={finding.id} finding={finding} result={result} />
          ))
        )}
      </ul>
      {quiet.length > 0 && (
        <p className="jp-AidpShip-passed">
          <span aria-hidden>✔ </span>
          <span className="jp-AidpPanel-hidden">{trans.__('Fine:')} </span>
          {quiet.map(({ name }) => checkName(name, trans)).join(', ')}
        </p>
      )}
      {told.map(({ name, skipped, note }) => (
        <p className="jp-AidpShip-quiet" key={name}>
          <b>{checkName(name, trans)}</b>{' '}
          {skipped ? trans.__('not run: %1', skipped) : note}
        </p>
      ))}
      <Waived results={results} />
    </>
  );
}

function Waived({
  results
}: {
  readonly results: readonly ICheckResult[];
}): React.ReactElement | null {
  const { trans } = useGit();
  const waived = results.reduce((sum, one) => sum + one.waived, 0);
  return waived > 0 ? (
    <p className="jp-AidpShip-quiet">
      {trans._n(
        '%1 finding was waived earlier.',
        '%1 findings were waived earlier.',
        waived
      )}
    </p>
  ) : null;
}

const SIGNS = { block: '✖', warn: '⚠', note: 'ℹ' } as const;

function Finding(props: {
  readonly finding: IFinding;
  readonly result: ICheckResult;
}): React.ReactElement {
  const { finding, result } = props;
  const { openPlace, trans } = useGit();
  const repository = useRepository();
  const { id, severity, message, path, fixes, can_waive, output } = finding;
  const [isWaiving, setWaiving] = React.useState(false);
  const waive = React.useRef<HTMLButtonElement>(null);
  const isBusy = repository.doing !== null || repository.preflight.isRunning;
  return (
    <li data-severity={severity}>
      <p>
        <span className="jp-AidpShip-sign" aria-hidden>
          {SIGNS[severity]}
        </span>
        <span className="jp-AidpPanel-hidden">
          {severityName(severity, trans)}:{' '}
        </span>
        <b>{checkName(result.name, trans)}</b> <Prose text={message} />
      </p>
      {path && (
        <button
          type="button"
          className="jp-AidpShip-link jp-AidpShip-place"
          title={trans.__('Open %1', place(finding, trans))}
          onClick={() => openPlace(repository, finding)}
        >
          <Path path={path} title={place(finding, trans)} />
          <span className="jp-AidpShip-at">{at(finding, trans)}</span>
        </button>
      )}
      {output && (
        <details>
          <summary>{trans.__('What it said')}</summary>
          <pre tabIndex={0}>{output}</pre>
        </details>
      )}
      {isWaiving ? (
        <Waiver
          onWaive={reason => void repository.waive(finding, reason)}
          onCancel={() => {
            setWaiving(false);
            requestAnimationFrame(() => waive.current?.focus());
          }}
        />
      ) : (
        (fixes.length > 0 || can_waive) && (
          <div className="jp-AidpShip-buttons">
            {fixes.map(({ name, label }) => (
              <Button
                key={name}
                disabled={isBusy}
                onClick={() => void repository.fix(finding, name)}
              >
                {label}
              </Button>
            ))}
            {can_waive && (
              <Button
                ref={waive}
                disabled={isBusy}
                title={trans.__('Say why this is fine; that is kept')}
                onClick={() => setWaiving(true)}
              >
                {trans.__('It is fine…')}
              </Button>
            )}
            {repository.doing === `fix ${id}` && (
              <small role="status">{trans.__('working…')}</small>
            )}
          </div>
        )
      )}
    </li>
  );
}

/** The cell or line, without the path. */
function at(
  { cell, line }: IFinding,
  trans: ReturnType<typeof useGit>['trans']
): string {
  return cell !== null
    ? trans.__('cell %1', cell)
    : line !== null
      ? trans.__('line %1', line)
      : '';
}

function Waiver(props: {
  readonly onWaive: (reason: string) => void;
  readonly onCancel: () => void;
}): React.ReactElement {
  const { onWaive, onCancel } = props;
  const { trans } = useGit();
  const [reason, setReason] = React.useState('');
  const field = React.useRef<HTMLInputElement>(null);
  React.useEffect(() => field.current?.focus(), []);
  const waive = () => {
    if (reason.trim()) {
      onWaive(reason.trim());
      onCancel();
    }
  };
  return (
    <div className="jp-AidpShip-row">
      <input
        ref={field}
        className="jp-AidpField"
        value={reason}
        aria-label={trans.__('Why this is fine')}
        placeholder={trans.__('Why this is fine, for who reads it later')}
        onChange={event => setReason(event.currentTarget.value)}
        onKeyDown={event => {
          if (event.key === 'Enter') {
            waive();
          } else if (event.key === 'Escape') {
            event.stopPropagation();
            onCancel();
          }
        }}
      />
      <Button disabled={!reason.trim()} onClick={waive}>
        {trans.__('Waive')}
      </Button>
      <Button onClick={onCancel}>{trans.__('Cancel')}</Button>
    </div>
  );
}
