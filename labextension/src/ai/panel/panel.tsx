import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import * as React from 'react';

import type { IPanelContext } from './context';
import { PanelProvider, usePanel } from './context';
import { focusFirst } from './focus';

/** The AI panel: which models answer, from where, at what cost, and what leaves this machine. */
export class AiPanel extends ReactWidget {
  constructor(private _context: IPanelContext) {
    super();
    this.addClass('jp-AidpAI');
    this.node.tabIndex = -1;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', _context.trans.__('AI'));
  }

  override dispose(): void {
    this._context.clock.dispose();
    this._context.data.dispose();
    super.dispose();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    // Restored with the page, it is there without being shown first.
    this._see(this.isVisible);
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._see(true);
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this._see(false);
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.focus();
    focusFirst(this.node);
  }

  protected override render(): React.ReactElement {
    return (
      <PanelProvider value={this._context}>
        <React.Suspense>
          <Content />
        </React.Suspense>
      </PanelProvider>
    );
  }

  private _see(isVisible: boolean): void {
    this._context.clock.isRunning = isVisible;
    this._context.data.isVisible = isVisible;
  }
}

const Content = React.lazy(() =>
  import(/* webpackChunkName: 'on-demand-panel' */ './content').then(
    ({ Content }) => ({ default: Content }),
    () => ({ default: Unreachable })
  )
);

function Unreachable(): React.ReactElement {
  const { trans } = usePanel();
  return (
    <p role="alert">
      {trans.__('This panel could not be loaded. Reload the page.')}
    </p>
  );
}
