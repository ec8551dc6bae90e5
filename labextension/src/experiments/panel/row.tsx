import * as React from 'react';

import { Ago } from '../../shared/clock';
import { isMetric, split } from '../list/columns';
import type { IRow } from '../wire';
import {
  cellText,
  clockText,
  metricText,
  stateName,
  stateOf,
  tookMs,
  visible
} from '../wording';
import { usePanel } from './context';
import type { ILayout, IPlaced } from './layout';
import { Sparkline } from './sparkline';
import { State } from './state';

export interface IRowProps {
  readonly row: IRow | null;
  readonly index: number;
  /** Where it lies in the list, in pixels: it stays there, and is not painted anew while others come and go. */
  readonly top: number;
  readonly layout: ILayout;
  readonly isSelected: boolean;
  readonly isActive: boolean;
  readonly isGone: boolean;
  readonly isHidden: boolean;
}

/** A run in the list; one that is not known yet is a grey bar. */
export const Row = React.memo(function Row(
  props: IRowProps
): React.ReactElement {
  const { row, index, top, layout } = props;
  const { isSelected, isActive, isGone, isHidden } = props;
  const { prefix } = usePanel();
  return (
    <div
      role="row"
      id={`${prefix}-row-${index}`}
      className="jp-AidpExp-row"
      aria-rowindex={index + 2}
      aria-selected={isSelected}
      aria-busy={row === null || undefined}
      data-index={index}
      data-run={row?.id}
      data-active={isActive || undefined}
      data-gone={isGone || undefined}
      data-hidden={isHidden || undefined}
      style={{ gridTemplateColumns: layout.template, top }}
    >
      {layout.columns.map((column, at) => (
        <div
          key={column.key}
          role={at === 0 ? 'rowheader' : 'gridcell'}
          className="jp-AidpExp-cell"
          data-number={column.isNumber || undefined}
          data-pinned={column.left !== null || undefined}
          style={column.left === null ? undefined : { left: column.left }}
        >
          {row ? (
            <Cell row={row} column={column} />
          ) : (
            <span className="jp-AidpExp-wait" aria-hidden />
          )}
        </div>
      ))}
    </div>
  );
});

interface ICellProps {
  readonly row: IRow;
  readonly column: IPlaced;
}

function Cell({ row, column }: ICellProps): React.ReactElement {
  const { trans } = usePanel();
  const { key, hasCurve } = column;
  const [kind, name] = split(key);
  if (isMetric(key)) {
    const value = row.values[key];
    const text = metricText(value);
    const isStrange = typeof value === 'string';
    return (
      <>
        <span
          className="jp-AidpExp-number"
          data-strange={isStrange || undefined}
          title={
            value === null || value === undefined
              ? trans.__('not logged')
              : `${name} ${value}`
          }
        >
          {text}
        </span>
        {hasCurve && (
          <span className="jp-AidpExp-curve">
            <Sparkline run={row.id} metric={name} />
          </span>
        )}
      </>
    );
  }
  if (kind !== 'fact') {
    const value = row.values[key];
    const text = value === null || value === undefined ? '—' : String(value);
    return <Text text={text} />;
  }
  switch (name) {
    case 'name':
      return (
        <>
          <span className="jp-AidpExp-box" aria-hidden />
          <State row={row} />
          <Text text={row.name} />
        </>
      );
    case 'when':
      return <When row={row} column={column} />;
    case 'duration':
      return <Duration row={row} column={column} />;
    case 'status':
      return <Text text={stateName(stateOf(row), trans)} />;
    case 'user':
      return <Text text={row.user} />;
    case 'cell':
      return <Text text={cellText(row, trans)} title={row.cell?.notebook} />;
    case 'commit':
      return (
        <Text
          text={
            row.commit
              ? `${row.commit.slice(0, 7)}${row.dirty ? ' +' : ''}`
              : '—'
          }
          title={
            row.commit && row.dirty
              ? trans.__('%1, and what was not committed', row.commit)
              : (row.commit ?? undefined)
          }
        />
      );
    default:
      return <Text text={row.id} />;
  }
}

function Text(props: {
  readonly text: string;
  readonly title?: string;
}): React.ReactElement {
  const { text, title } = props;
  const shown = visible(text);
  return (
    <span className="jp-AidpExp-text" title={title ?? shown}>
      {shown}
    </span>
  );
}

/** When it started; while it runs, for how long. */
function When({ row }: ICellProps): React.ReactElement {
  const { clock, format, trans } = usePanel();
  if (row.start_ms === null) {
    return <>—</>;
  }
  const time = new Date(row.start_ms).toISOString();
  return row.status === 'RUNNING' ? (
    <span title={trans.__('running since %1', format.absolute(time))}>
      <Ticking row={row} />
    </span>
  ) : (
    <Ago time={time} clock={clock} format={format} />
  );
}

function Duration({ row }: ICellProps): React.ReactElement {
  const took = tookMs(row, Date.now());
  return row.status === 'RUNNING' ? (
    <Ticking row={row} />
  ) : (
    <>{took === null ? '—' : clockText(took)}</>
  );
}

/** Painted anew at each second, by itself. */
function Ticking({ row }: { readonly row: IRow }): React.ReactElement {
  const { clock } = usePanel();
  const text = React.useSyncExternalStore(clock.subscribe, () =>
    clockText(tookMs(row, Date.now()) ?? 0)
  );
  return <span className="jp-AidpExp-live">{text}</span>;
}
