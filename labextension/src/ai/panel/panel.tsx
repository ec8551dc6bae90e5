import type { Message } from '@lumino/messaging';
import * as React from 'react';

import { PanelWidget } from '../../shared/widget';
import type { IPanelContext } from './context';
import { PanelProvider, usePanel } from './context';
import { focusFirst } from './focus';

/** The AI panel: which models answer, from where, at what cost, and what leaves this machine. */
export class AiPanel extends PanelWidget {
  constructor(private _context: IPanelContext) {
    super(_context.trans.__('AI'), 'jp-AidpAI');
  }

  override dispose(): void {
    this._context.clock.dispose();
    this._context.data.dispose();
    super.dispose();
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

  protected override see(isVisible: boolean): void {
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
