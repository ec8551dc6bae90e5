import { ellipsesIcon, refreshIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { IconButton } from './controls';
import { useAction } from './hooks';

/** The first line of a panel: its name, and what concerns all of it. */
export function PanelTitle(props: {
  readonly name: string;
  /** What reading everything anew is called here. */
  readonly refreshLabel: string;
  readonly refresh: () => Promise<unknown>;
  readonly openMenu: (anchor: HTMLElement) => void;
  readonly trans: TranslationBundle;
  /** Further buttons. */
  readonly children?: React.ReactNode;
}): React.ReactElement {
  const { name, refreshLabel, refresh, openMenu, trans, children } = props;
  const { isBusy, start } = useAction();
  return (
    <div className="jp-AidpTitle">
      <h2>{name}</h2>
      <IconButton
        icon={refreshIcon}
        label={refreshLabel}
        isBusy={isBusy}
        onClick={() =>
          start(async () => {
            await refresh();
          })
        }
      />
      {children}
      <IconButton
        icon={ellipsesIcon}
        label={trans.__('More')}
        hasMenu
        onClick={event => openMenu(event.currentTarget)}
      />
    </div>
  );
}
