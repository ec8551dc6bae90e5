import * as React from 'react';

import { Button, Problem } from '../../shared/panel';
import type { IDeviceFlow } from '../accounts';
import { useGit } from '../panel/context';

/** A code to type in the browser; what is typed there signs in here. */
export function Device({
  flow
}: {
  readonly flow: IDeviceFlow;
}): React.ReactElement {
  const { model, trans } = useGit();
  const [isCopied, setCopied] = React.useState(false);
  const { host, code, state, error } = flow;
  const again = {
    label: trans.__('Begin again'),
    run: () => void model.accounts.signIn(host)
  };
  if (error) {
    return (
      <Problem
        message={error.message}
        nextStep={error.nextStep}
        action={again}
      />
    );
  }
  if (state === 'denied') {
    return <Problem message={trans.__('It was refused.')} action={again} />;
  }
  if (state === 'expired') {
    return (
      <Problem message={trans.__('The code is too old.')} action={again} />
    );
  }
  const copy = async (text: string) => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
  };
  return (
    <div className="jp-AidpGitDialog-device">
      {code ? (
        <>
          <p>
            {trans.__('Open')}{' '}
            <a
              href={code.verification_uri}
              target="_blank"
              rel="noopener noreferrer"
            >
              {code.verification_uri}
            </a>{' '}
            {trans.__('and type this code there:')}
          </p>
          <p className="jp-AidpShip-row">
            <output
              className="jp-AidpGitDialog-code"
              aria-label={trans.__('Code')}
            >
              {code.user_code}
            </output>
            <Button
              onClick={() => {
                // Where the page may not, it can still be selected.
                copy(code.user_code).catch(() => undefined);
              }}
            >
              {isCopied ? trans.__('Copied') : trans.__('Copy')}
            </Button>
            <Button onClick={() => model.accounts.stop()}>
              {trans.__('Cancel')}
            </Button>
          </p>
          <small role="status">{trans.__('Waiting for you there…')}</small>
        </>
      ) : (
        <p role="status">{trans.__('Asking %1 for a code…', host)}</p>
      )}
    </div>
  );
}
