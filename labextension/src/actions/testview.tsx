import * as React from 'react';

import { Button, Problem } from '../shared/panel';
import type { IViewProps } from './view';
import { Key } from './view';

/** Tests that were written, and how they fare. */
export function Tests({ session, services }: IViewProps): React.ReactElement {
  const { trans } = services;
  const { path } = session.proposal!.run!;
  const run = session.tests;
  const isRunning = run?.isRunning ?? false;
  const state = !run || isRunning ? undefined : run.ended?.passed;
  const box = React.useRef<HTMLPreElement>(null);
  React.useLayoutEffect(() => {
    if (box.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  }, [run?.lines]);
  return (
    <>
      {run?.ended ? (
        <p className="jp-AidpAction-verdict" data-passed={run.ended.passed}>
          {run.ended.passed ? '✔' : '✖'} {run.ended.summary}
        </p>
      ) : (
        <p className="jp-AidpAction-where">
          {isRunning
            ? trans.__('Running `%1`…', path).replaceAll('`', '')
            : run?.isStopped
              ? trans.__('Stopped.')
              : trans.__('Written: %1', path)}
        </p>
      )}
      {run?.error && (
        <Problem message={run.error.message} nextStep={run.error.nextStep} />
      )}
      {run && run.lines.length > 0 && (
        <pre
          ref={box}
          className="jp-AidpAction-lines"
          tabIndex={0}
          aria-label={trans.__('Output of the tests')}
        >
          {run.lines.join('\n')}
        </pre>
      )}
      <div className="jp-AidpAction-buttons">
        {isRunning ? (
          <Button data-first onClick={() => run!.stop()}>
            {trans.__('Stop')} <Key sign="Esc" />
          </Button>
        ) : (
          <Button data-first onClick={() => session.runTests()}>
            {run ? trans.__('Run again') : trans.__('Run tests')}
          </Button>
        )}
        <Button onClick={() => services.openFile(path)}>
          {trans.__('Open file')}
        </Button>
      </div>
      <span className="jp-AidpPanel-hidden" role="status">
        {state === undefined
          ? ''
          : state
            ? trans.__('The tests passed.')
            : trans.__('The tests failed.')}
      </span>
    </>
  );
}
