import type { TranslationBundle } from '@jupyterlab/translation';
import type * as React from 'react';

import { LazyPanelWidget } from '../shared/widget';
import type { IDesk } from './desk';

/** The list of runs. */
export class ExperimentsPanel extends LazyPanelWidget<IDesk> {
  constructor(
    load: () => Promise<IDesk>,
    trans: TranslationBundle,
    private _place: 'side' | 'tab'
  ) {
    super(trans.__('Experiments'), 'jp-AidpExp', load, trans);
  }

  override dispose(): void {
    super.dispose();
    this.desk?.leave(this);
  }

  protected override content(desk: IDesk): React.FC {
    return desk.content(this, this._place);
  }
}
