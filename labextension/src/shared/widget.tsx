import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import type { Widget } from '@lumino/widgets';
import * as React from 'react';

import { Panel } from './panel';

/** A panel at a side or in a tab, which works only while somebody sees it. */
export abstract class PanelWidget extends ReactWidget {
  constructor(name: string, className: string) {
    super();
    this.addClass(className);
    this.node.tabIndex = -1;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', name);
  }

  /** It is seen, or not any more. */
  protected abstract see(isSeen: boolean): void;

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    // Restored with the page, it is there without being shown first.
    this.see(this.isVisible);
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.see(true);
  }

  protected override onBeforeHide(message: Message): void {
    super.onBeforeHide(message);
    this.see(false);
  }

  protected override onCloseRequest(message: Message): void {
    super.onCloseRequest(message);
    // A tab that is closed is gone; a side panel stays.
    if (this.title.closable) {
      this.dispose();
    }
  }
}

/** All that is behind a panel, and is loaded when one is seen for the first time. */
export interface IPanelDesk {
  /** A panel is seen, or not any more. */
  see(panel: Widget, isSeen: boolean): void;
  /** Take the keyboard from a panel as such to what one does first in it. */
  focus(panel: HTMLElement): void;
}

/** A panel whose content, and all behind it, is loaded when it is seen for the first time. */
export abstract class LazyPanelWidget<
  Desk extends IPanelDesk
> extends PanelWidget {
  constructor(
    name: string,
    className: string,
    private _load: () => Promise<Desk>,
    private _trans: TranslationBundle
  ) {
    super(name, className);
  }

  /** What it shows. */
  protected abstract content(desk: Desk): React.FC;

  /** What is behind it, null before it was seen. */
  protected get desk(): Desk | null {
    return this._desk;
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    const { activeElement } = document;
    // Whoever writes in it already goes on there.
    if (activeElement === this.node || !this.node.contains(activeElement)) {
      this.node.focus();
      this._desk?.focus(this.node);
    }
  }

  protected override render(): React.ReactElement | null {
    const { _content: Content } = this;
    return Content ? (
      <React.Suspense
        fallback={
          <div className="jp-AidpPanel-waiting">
            <Panel state={{ kind: 'loading' }} trans={this._trans} />
          </div>
        }
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
      const content = this.content(desk);
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
  private _desk: Desk | null = null;
  private _isSeen = false;
}
