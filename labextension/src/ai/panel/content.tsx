// With what is loaded on demand: a page that opens no AI panel need not load its looks.
import '../../../style/ai-panel.css';

import * as React from 'react';

import { useSignals } from '../../shared/hooks';
import type { PanelState } from '../../shared/panel';
import { Panel } from '../../shared/panel';
import { usePanel } from './context';
import { focusFirst } from './focus';
import { Overview, Title } from './header';
import { Preview } from './preview';
import { PrivacyRules } from './privacy';
import { Providers } from './providers';
import { Recent } from './recent';
import { Sources } from './sources';
import { Why } from './why';

/** What the panel shows: a chunk of its own, since most pages are left without a look at it. */
export function Content(): React.ReactElement {
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
