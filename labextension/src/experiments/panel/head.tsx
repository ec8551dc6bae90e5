import * as React from 'react';

import { canSort, columnName, columnTitle } from '../list/columns';
import { visible } from '../wording';
import { usePanel } from './context';
import type { ILayout, IPlaced } from './layout';

const STEP = 16;

/** The names of the columns: a press sorts by one, an edge makes it wider. */
export function Head({
  layout
}: {
  readonly layout: ILayout;
}): React.ReactElement {
  const { trans } = usePanel();
  const [stop, setStop] = React.useState(0);
  const row = React.useRef<HTMLDivElement>(null);
  const moved = (event: React.KeyboardEvent, at: number, key: string) => {
    const { key: pressed, shiftKey } = event;
    if (pressed !== 'ArrowLeft' && pressed !== 'ArrowRight') {
      return;
    }
    const step = pressed === 'ArrowLeft' ? -1 : 1;
    event.preventDefault();
    event.stopPropagation();
    if (shiftKey) {
      const { width } = layout.columns[at]!;
      resize(key, width + step * STEP);
    } else {
      const buttons = row.current!.querySelectorAll<HTMLElement>('button');
      const to = Math.max(0, Math.min(buttons.length - 1, at + step));
      setStop(to);
      buttons[to]?.focus();
      buttons[to]?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
  };
  const { view } = usePanel();
  const resize = (key: string, width: number) => view.resize(key, width);
  return (
    <div
      ref={row}
      role="row"
      aria-rowindex={1}
      className="jp-AidpExp-head"
      style={{ gridTemplateColumns: layout.template, width: layout.width }}
    >
      {layout.columns.map((column, at) => (
        <Header
          key={column.key}
          column={column}
          isStop={at === Math.min(stop, layout.columns.length - 1)}
          hint={trans.__(
            'Shift with left and right makes it narrower and wider'
          )}
          onFocus={() => setStop(at)}
          onKeyDown={event => moved(event, at, column.key)}
        />
      ))}
    </div>
  );
}

function Header(props: {
  readonly column: IPlaced;
  readonly isStop: boolean;
  readonly hint: string;
  readonly onFocus: () => void;
  readonly onKeyDown: (event: React.KeyboardEvent) => void;
}): React.ReactElement {
  const { column, isStop, hint, onFocus, onKeyDown } = props;
  const { trans, view } = usePanel();
  const { key, left, isNumber } = column;
  const { sort } = view.look;
  const isSorted = sort?.key === key;
  const name = visible(columnName(key, trans));
  return (
    <div
      role="columnheader"
      className="jp-AidpExp-header"
      data-number={isNumber || undefined}
      aria-sort={
        isSorted ? (sort.isDescending ? 'descending' : 'ascending') : undefined
      }
      data-pinned={left !== null || undefined}
      style={left === null ? undefined : { left }}
    >
      <button
        type="button"
        tabIndex={isStop ? 0 : -1}
        disabled={!canSort(key)}
        title={`${columnTitle(key, trans)}\n${hint}`}
        onFocus={onFocus}
        onKeyDown={onKeyDown}
        onClick={() => view.sortBy(key)}
      >
        <span className="jp-AidpExp-name">{name}</span>
        {isSorted && (
          <span className="jp-AidpExp-sort" aria-hidden>
            {sort.isDescending ? '▾' : '▴'}
          </span>
        )}
      </button>
      <Edge column={column} />
    </div>
  );
}

/** The right edge of a column, to be dragged. */
function Edge({ column }: { readonly column: IPlaced }): React.ReactElement {
  const { view } = usePanel();
  const from = React.useRef<number | null>(null);
  return (
    <span
      className="jp-AidpExp-edge"
      aria-hidden
      onPointerDown={event => {
        event.preventDefault();
        event.currentTarget.setPointerCapture(event.pointerId);
        from.current = event.clientX - column.width;
      }}
      onPointerMove={event => {
        if (from.current !== null) {
          view.resize(column.key, event.clientX - from.current);
        }
      }}
      onPointerUp={() => (from.current = null)}
      onLostPointerCapture={() => (from.current = null)}
    />
  );
}
