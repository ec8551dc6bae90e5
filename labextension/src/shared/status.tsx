import { showPopup } from '@jupyterlab/statusbar';
import type { Popup } from '@jupyterlab/statusbar';
import { ReactWidget } from '@jupyterlab/ui-components';

/** An item of the status bar: one line, and a popup with the rest. */
export abstract class StatusItem extends ReactWidget {
  constructor() {
    super();
    this.addClass('jp-mod-highlighted');
    this.addClass('jp-AidpStatus-item');
  }

  get isOpen(): boolean {
    return this._popup !== null;
  }

  /** Open the popup, or close it. */
  toggle(): void {
    if (this._popup) {
      this._popup.dispose();
      return;
    }
    const body = this.makePopup();
    this._popup = showPopup({
      body,
      anchor: this,
      align: 'left',
      hasDynamicSize: true
    });
    this._popup.disposed.connect(() => {
      const hadFocus = body.node.contains(document.activeElement);
      this._popup = null;
      this.update();
      if (hadFocus) {
        this.node.querySelector('button')?.focus();
      }
    });
    this.update();
  }

  override dispose(): void {
    this._popup?.dispose();
    super.dispose();
  }

  /** Make what is shown, and have its news loaded. */
  protected abstract makePopup(): StatusPopup;

  private _popup: Popup | null = null;
}

/** What such an item opens. */
export abstract class StatusPopup extends ReactWidget {
  constructor(label: string) {
    super();
    this.addClass('jp-AidpStatus-popup');
    this.node.setAttribute('role', 'dialog');
    this.node.setAttribute('aria-label', label);
    this.node.tabIndex = -1;
  }
}
