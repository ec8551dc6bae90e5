import * as React from 'react';

import { Select } from '../../shared/controls';
import { useAction } from '../../shared/hooks';
import type { PanelState } from '../../shared/panel';
import { Button, Panel } from '../../shared/panel';
import { Prose } from '../../shared/prose';
import { PanelTitle } from '../../shared/title';
import { Mark } from '../mark';
import { CommandIDs } from '../tokens';
import { sentence, status } from '../wording';
import { usePanel } from './context';
import { Money } from './money';

/** The panel's name, and what concerns all of it. */
export function Title(): React.ReactElement {
  const { data, openMenu, trans } = usePanel();
  return (
    <PanelTitle
      name={trans.__('AI')}
      refreshLabel={trans.__('Check providers and read everything again')}
      refresh={() => data.refresh()}
      openMenu={openMenu}
      trans={trans}
    />
  );
}

/** The first three lines: which model answers, from where answers may come, and what it costs. */
export function Overview(props: {
  readonly isRead: boolean;
}): React.ReactElement {
  const { model, trans } = usePanel();
  const state: PanelState =
    model.modes.length > 0 ? { kind: 'full' } : { kind: 'loading' };
  return (
    <div className="jp-AidpAI-overview">
      <Panel state={state} trans={trans}>
        <Now {...props} />
        <div className="jp-AidpAI-modeAndMoney">
          <Mode />
          <Money />
        </div>
      </Panel>
    </div>
  );
}

/** Which model answers and why, or what stands in the way and what to do. */
function Now({ isRead }: { readonly isRead: boolean }): React.ReactElement {
  const { model, trans } = usePanel();
  const { symbol, text, title } = status(model, trans);
  const isWrong = model.error !== null || model.decision?.route === null;
  const [isOpen, setOpen] = React.useState(isWrong);
  const { isBusy, start } = useAction();
  // Bad news unfolds by itself, but not under the pointer.
  React.useEffect(() => {
    if (!isRead) {
      setOpen(isWrong);
    }
  }, [isWrong, isRead]);
  return (
    <div className="jp-AidpAI-now" data-state={model.state}>
      <button
        type="button"
        aria-expanded={isOpen}
        title={title}
        onClick={() => setOpen(!isOpen)}
      >
        <Mark of={symbol} />
        <span className="jp-AidpAI-nowText">{text}</span>
        <span className="jp-AidpCaret" aria-hidden />
      </button>
      {isOpen && (
        <div className="jp-AidpAI-why" role="status">
          <p>
            <Prose text={sentence(model)} />
          </p>
          {isWrong && (
            <Button
              disabled={isBusy}
              onClick={() => start(() => model.check())}
            >
              {isBusy ? trans.__('Checking…') : trans.__('Check again')}
            </Button>
          )}
        </div>
      )}
    </div>
  );
}

function Mode(): React.ReactElement {
  const { model, commands, trans } = usePanel();
  const chosen = model.modes.find(({ mode }) => mode === model.mode);
  return (
    <Select
      label={trans.__('Where answers may come from')}
      title={chosen?.description}
      value={model.mode}
      options={model.modes.map(({ mode, label }) => [mode, label])}
      onChange={mode => void commands.execute(CommandIDs.setMode, { mode })}
    />
  );
}
