import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';

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
