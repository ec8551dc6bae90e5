import * as React from 'react';

import { useSignals } from '../../shared/hooks';
import type { PanelState } from '../../shared/panel';
import { Panel, Problem } from '../../shared/panel';
import { Arriving } from '../dialog/arriving';
import { Changes } from './changes';
import { Checks } from './checks';
import { RepositoryProvider, useGit } from './context';
import { Empty } from './empty';
import { ForgeState } from './forge';
import { Go } from './go';
import { Overview, Title } from './header';
import { Message } from './message';
import { RequestOptions } from './request';

/** What the panel shows: a chunk of its own, since most pages are left without a look at it. */
export function Content(): React.ReactElement {
  const { leave, model } = useGit();
  useSignals(model.changed);
  const frame = React.useRef<HTMLDivElement>(null);
  const hasRepository = model.repository !== null;
  React.useEffect(
    () => focusFirst(frame.current!.parentElement!),
    [model.isKnown, hasRepository]
  );
  return (
    <div
      ref={frame}
      className="jp-AidpShip-frame"
      onKeyDown={({ key }) => key === 'Escape' && leave()}
    >
      <Title />
      <div className="jp-AidpShip-content">
        <Arriving />
        <State />
      </div>
    </div>
  );
}

function State(): React.ReactElement {
  const { model, trans } = useGit();
  const { error, isKnown, repository } = model;
  const retry = () => void model.refresh();
  const state: PanelState =
    error && !repository
      ? { kind: 'error', error, retry }
      : isKnown
        ? { kind: 'full' }
        : { kind: 'loading' };
  return (
    <Panel state={state} trans={trans}>
      {repository ? (
        <RepositoryProvider value={repository} key={repository.path}>
          {error && (
            <Problem
              message={error.message}
              nextStep={error.nextStep}
              action={{ label: trans.__('Try again'), run: retry }}
            />
          )}
          <Overview />
          <Changes />
          <Checks />
          <Message />
          <RequestOptions />
          <Go />
          <ForgeState />
        </RepositoryProvider>
      ) : (
        <Empty />
      )}
    </Panel>
  );
}

/** Move the focus from the panel as such to what one does first in it. */
export function focusFirst(panel: HTMLElement): void {
  if (document.activeElement === panel) {
    panel
      .querySelector<HTMLElement>(
        '.jp-AidpShip-changes input[tabindex="0"], .jp-AidpShip-message, .jp-AidpPanel-message button'
      )
      ?.focus();
  }
}
