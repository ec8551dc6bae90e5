import type { TranslationBundle } from '@jupyterlab/translation';
import type * as React from 'react';

import { LazyPanelWidget } from '../../shared/widget';
import type { IDesk } from '../desk';

let count = 0;

/** The Ship panel. */
export class ShipPanel extends LazyPanelWidget<IDesk> {
  constructor(load: () => Promise<IDesk>, trans: TranslationBundle) {
    super(trans.__('Ship'), 'jp-AidpShip', load, trans);
  }

  override dispose(): void {
    this.desk?.see(this, false);
    super.dispose();
  }

  protected override content(desk: IDesk): React.FC {
    return desk.content(this._prefix);
  }

  private _prefix = `jp-aidp-ship-${count++}`;
}
