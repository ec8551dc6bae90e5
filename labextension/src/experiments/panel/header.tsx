import { launchIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IconButton } from '../../shared/controls';
import { PanelTitle } from '../../shared/title';
import { CommandIDs } from '../tokens';
import { usePanel } from './context';

/** The panel's name, and what concerns all of it. */
export function Title(): React.ReactElement {
  const { commands, openMenu, trans, view } = usePanel();
  return (
    <PanelTitle
      name={trans.__('Experiments')}
      refreshLabel={trans.__('Look at everything again')}
      refresh={() => view.refresh()}
      openMenu={openMenu}
      trans={trans}
    >
      {view.place === 'side' && (
        <IconButton
          icon={launchIcon}
          label={trans.__('Open as a tab')}
          onClick={() => void commands.execute(CommandIDs.openTab)}
        />
      )}
    </PanelTitle>
  );
}
