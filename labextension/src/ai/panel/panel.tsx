import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import * as React from 'react';

import { useSignals } from '../../shared/hooks';
import type { PanelState } from '../../shared/panel';
import { Panel } from '../../shared/panel';
import type { IPanelContext } from './context';
import { PanelProvider, usePanel } from './context';
import { Overview, Title } from './header';
import { Preview } from './preview';
import { PrivacyRules } from './privacy';
import { Providers } from './providers';
import { Recent } from './recent';
import { Sources } from './sources';
import { Why } from './why';

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
        <Content />
      </PanelProvider>
    );
  }

  private _see(isVisible: boolean): void {
    this._context.clock.isRunning = isVisible;
    this._context.data.isVisible = isVisible;
  }
}

/** Move the focus from the panel as such to its first choice, as soon as there is one. */
function focusFirst(panel: HTMLElement): void {
  if (document.activeElement === panel) {
    panel.querySelector<HTMLElement>('.jp-AidpAI-overview select')?.focus();
  }
}

function Content(): React.ReactElement {
  const { leave, model, trans } = usePanel();
  useSignals(model.changed);
  const [isRead, setRead] = React.useState(false);
  const { error, modes } = model;
  const isKnown = modes.length > 0;
  // Without any answer of the server's each part would say the same.
  const state: PanelState =
    error && (!isKnown || error.code === 'not_found')
      ? { kind: 'error', error, retry: () => void model.check() }
      : { kind: 'full' };
  const frame = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => focusFirst(frame.current!.parentElement!), [isKnown]);
  return (
    <div
      ref={frame}
      className="jp-AidpAI-frame"
      onKeyDown={({ key }) => key === 'Escape' && leave()}
    >
      <Title />
      <div
        className="jp-AidpAI-content"
        onPointerEnter={() => setRead(true)}
        onPointerLeave={() => setRead(false)}
      >
        <Panel state={state} trans={trans}>
          <Overview isRead={isRead} />
          <Sources />
          <Providers />
          <Recent />
          <Why />
          <PrivacyRules />
          <Preview />
        </Panel>
      </div>
    </div>
  );
}
