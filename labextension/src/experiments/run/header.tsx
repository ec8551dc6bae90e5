import { editIcon, ellipsesIcon, refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { Ago } from '../../shared/clock';
import { IconButton } from '../../shared/controls';
import { useSignals } from '../../shared/hooks';
import { Button, Problem } from '../../shared/panel';
import { CommandIDs } from '../tokens';
import type { IRunDetail } from '../wire';
import {
  cellText,
  clockText,
  isOver,
  stateName,
  stateOf,
  stateSign,
  stateTitle,
  tookMs,
  visible
} from '../wording';
import { openRunMenu, undoable } from './actions';
import { isShown, linesIn } from './code';
import { useRun, useRunContext } from './context';

/** The first lines: what it is called, how it is, and where it comes from. */
export function Header(): React.ReactElement {
  const context = useRunContext();
  const { model, trans } = context;
  const run = useRun();
  return (
    <div className="jp-AidpRun-header">
      <div className="jp-AidpRun-title">
        <Name />
        <span className="jp-AidpRun-buttons">
          {run.stage === 'deleted' && run.can.write && (
            <Button onClick={() => void model.remove(false)}>
              {trans.__('Take it back')}
            </Button>
          )}
          <Button onClick={() => void openRestore(context)}>
            {trans.__('Restore code…')}
          </Button>
          {run.can.write && (
            <Button onClick={() => void openRegister(context)}>
              {trans.__('Register model…')}
            </Button>
          )}
          <IconButton
            icon={refreshIcon}
            label={trans.__('Look at the run again')}
            onClick={() => void model.refresh()}
          />
          <IconButton
            icon={ellipsesIcon}
            label={trans.__('More')}
            hasMenu
            onClick={({ currentTarget }) => openRunMenu(context, currentTarget)}
          />
        </span>
      </div>
      <State run={run} />
      <Origin run={run} />
      {model.error && (
        <Problem
          message={model.error.message}
          nextStep={model.error.nextStep}
          action={{
            label: trans.__('Dismiss'),
            run: () => model.dismiss()
          }}
        />
      )}
    </div>
  );
}

async function openRestore(
  context: ReturnType<typeof useRunContext>
): Promise<void> {
  const { openRestoreDialog } = await import(
    /* webpackChunkName: 'on-demand-experiments-restore' */ '../restore/dialog'
  );
  openRestoreDialog(context, context.model.run!);
}

async function openRegister(
  context: ReturnType<typeof useRunContext>
): Promise<void> {
  const { openRegisterDialog } = await import(
    /* webpackChunkName: 'on-demand-experiments-register' */ '../register/dialog'
  );
  openRegisterDialog(context, context.model.run!, () =>
    context.model.refresh()
  );
}

/** The name; edited in its place. */
function Name(): React.ReactElement {
  const context = useRunContext();
  const { model, trans } = context;
  const run = useRun();
  const [text, setText] = React.useState<string | null>(null);
  const button = React.useRef<HTMLSpanElement>(null);
  const end = (isKept: boolean) => {
    const name = text?.trim();
    const before = run.name;
    setText(null);
    requestAnimationFrame(() =>
      button.current?.querySelector('button')?.focus()
    );
    if (isKept && name && name !== before) {
      void undoable(
        trans.__('Renamed to “%1”.', visible(name)),
        () => model.change({ name }),
        () => model.change({ name: before }),
        trans
      );
    }
  };
  if (text !== null) {
    return (
      <input
        className="jp-AidpField jp-AidpRun-rename"
        autoFocus
        aria-label={trans.__('Name of the run')}
        value={text}
        onFocus={({ currentTarget }) => currentTarget.select()}
        onChange={({ currentTarget }) => setText(currentTarget.value)}
        onBlur={() => end(true)}
        onKeyDown={event => {
          if (event.key === 'Enter' && !event.nativeEvent.isComposing) {
            end(true);
          } else if (event.key === 'Escape') {
            event.stopPropagation();
            end(false);
          }
        }}
      />
    );
  }
  return (
    <span className="jp-AidpRun-name" ref={button}>
      <h2 title={visible(run.name)}>{visible(run.name) || run.id}</h2>
      {run.can.write && (
        <IconButton
          icon={editIcon}
          label={trans.__('Rename the run')}
          onClick={() => setText(run.name)}
        />
      )}
    </span>
  );
}

function State({ run }: { readonly run: IRunDetail }): React.ReactElement {
  const { clock, format, trans } = useRunContext();
  const state = stateOf(run);
  return (
    <p className="jp-AidpRun-state" data-state={state}>
      <span title={stateTitle(run, trans)}>
        <span className="jp-AidpRun-sign" aria-hidden>
          {stateSign(state)}
        </span>{' '}
        {stateName(state, trans)}
      </span>
      {run.ended && <span>{run.ended}</span>}
      {run.diverged && state !== 'diverged' && (
        <span>{trans.__('a metric is no finite number')}</span>
      )}
      <Took run={run} />
      {run.start_ms !== null && (
        <span>
          {trans.__('started')}{' '}
          <Ago
            time={new Date(run.start_ms).toISOString()}
            clock={clock}
            format={format}
            inWords
          />
        </span>
      )}
      {run.user && (
        <span className="jp-AidpRun-user" title={run.user}>
          {run.user}
        </span>
      )}
      {run.stage === 'deleted' && (
        <span className="jp-AidpRun-mark">{trans.__('deleted')}</span>
      )}
    </p>
  );
}

/** How long it took, or takes. */
function Took({
  run
}: {
  readonly run: IRunDetail;
}): React.ReactElement | null {
  const { clock, trans } = useRunContext();
  const text = React.useSyncExternalStore(clock.subscribe, () => {
    const took = tookMs(run, Date.now());
    return took === null ? '' : clockText(took);
  });
  return text ? (
    <span className="jp-AidpRun-took" title={trans.__('How long it took')}>
      {text}
    </span>
  ) : null;
}

/** The cell, the commit, and what was not committed. */
function Origin({ run }: { readonly run: IRunDetail }): React.ReactElement {
  const { app, model, trans } = useRunContext();
  const { patch } = model.code;
  useSignals(patch.changed);
  const { commit, branch, dirty, patch_bytes, shipped } = run.lineage;
  const hasPatch = isShown(patch_bytes);
  React.useEffect(() => {
    if (hasPatch && isOver(run)) {
      void patch.load();
    }
  }, [hasPatch, isOver(run)]);
  const cell = cellText(run, trans);
  const count = patch.value === null ? 0 : linesIn(patch.value);
  const uncommitted =
    count > 0
      ? trans._n('%1 line uncommitted', '%1 lines uncommitted', count)
      : trans.__('uncommitted changes');
  return (
    <p className="jp-AidpRun-origin">
      {cell ? (
        <button
          type="button"
          className="jp-AidpRun-link"
          title={trans.__('Show the cell in %1', run.cell!.notebook)}
          onClick={() =>
            void app.commands.execute(CommandIDs.jump, { runs: [run.id] })
          }
        >
          {cell}
        </button>
      ) : (
        <span>{trans.__('not started in a notebook')}</span>
      )}
      {commit ? (
        <span title={[branch, commit].filter(Boolean).join(' · ')}>
          <code>{commit.slice(0, 7)}</code>
          {dirty && ` + ${uncommitted}`}
        </span>
      ) : (
        <span>{trans.__('no commit')}</span>
      )}
      {shipped && (
        <span title={shipped}>
          {trans.__('shipped since in')} <code>{shipped.slice(0, 7)}</code>
        </span>
      )}
    </p>
  );
}
