import type { TranslationBundle } from '@jupyterlab/translation';
import type { Message } from '@lumino/messaging';
import * as React from 'react';

import { Panel } from '../shared/panel';
import { PanelWidget } from '../shared/widget';
import type { IDesk } from './desk';

/** The list of runs. What it shows, and all behind it, is loaded when it is seen for the first time. */
export class ExperimentsPanel extends PanelWidget {
  constructor(
    private _load: () => Promise<IDesk>,
    private _trans: TranslationBundle,
    private _place: 'side' | 'tab'
  ) {
    super(_trans.__('Experiments'), 'jp-AidpExp');
  }

  override dispose(): void {
    super.dispose();
    this._desk?.leave(this);
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    const { activeElement } = document;
    if (activeElement === this.node || !this.node.contains(activeElement)) {
      this.node.focus();
      this._desk?.focus(this.node);
    }
  }

  protected override render(): React.ReactElement | null {
    const { _content: Content } = this;
    return Content ? (
      <React.Suspense
        fallback={<Panel state={{ kind: 'loading' }} trans={this._trans} />}
      >
        <Content />
      </React.Suspense>
    ) : null;
  }

  protected override see(isVisible: boolean): void {
    if (isVisible && !this._content) {
      this._content = React.lazy(() => this._open());
      this.update();
    }
    this._isSeen = isVisible;
    this._desk?.see(this, isVisible);
  }

  private async _open(): Promise<{ readonly default: React.FC }> {
    try {
      const desk = (this._desk = await this._load());
      const content = desk.content(this, this._place);
      if (!this.isDisposed) {
        desk.see(this, this._isSeen);
      }
      return { default: content };
    } catch {
      const words = this._trans.__(
        'This panel could not be loaded. Reload the page.'
      );
      return { default: () => <p role="alert">{words}</p> };
    }
  }

  private _content: React.LazyExoticComponent<React.FC> | null = null;
  private _desk: IDesk | null = null;
  private _isSeen = false;
}
