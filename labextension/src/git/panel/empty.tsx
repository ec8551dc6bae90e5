import * as React from 'react';

import { useAction } from '../../shared/hooks';
import { Button, Problem } from '../../shared/panel';
import { CommandIDs } from '../tokens';
import { folderName } from '../wording';
import { useGit } from './context';

/** That there is no repository, and the two ways to one. */
export function Empty(): React.ReactElement {
  const { commands, model, trans } = useGit();
  const { isBusy, error, start } = useAction();
  const folder = folderName(model.folder, trans);
  return (
    <div className="jp-AidpPanel-message">
      <p>{trans.__('No repository here.')}</p>
      <div className="jp-AidpShip-buttons">
        <Button onClick={() => void commands.execute(CommandIDs.import)}>
          {trans.__('Import from GitHub')}
        </Button>
        <Button
          disabled={isBusy}
          title={trans.__(
            'Git keeps the history of %1 from now on',
            model.folder || folder
          )}
          onClick={() => start(() => model.init())}
        >
          {isBusy
            ? trans.__('Starting…')
            : trans.__('Start one in this folder')}
        </Button>
      </div>
      <small>{trans.__('This folder is %1.', folder)}</small>
      {error && <Problem message={error.message} nextStep={error.nextStep} />}
    </div>
  );
}
