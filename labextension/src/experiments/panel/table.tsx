import { useVirtualizer } from '@tanstack/react-virtual';
import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import type { RunsView } from '../list/view';
import { CommandIDs } from '../tokens';
import { usePanel, useView } from './context';
import { Head } from './head';
import { layoutOf } from './layout';
import { Row } from './row';

const ROW = 26;
const HEAD = 26;
/** How many more are drawn above and below: what is scrolled to is there already. */
const MORE = 6;

/** The runs: one stop for the keyboard, in which the arrows move. */
export function Table(): React.ReactElement {
  const { trans, view, prefix } = useView();
  const { window: runs } = view;
  const total = runs.total ?? 0;
  const grid = React.useRef<HTMLDivElement>(null);
  const room = useRoom(grid);
  const virtualizer = useVirtualizer({
    count: total,
    getScrollElement: () => grid.current,
    estimateSize: () => ROW,
    overscan: MORE,
    // A frame late is better than a frame lost.
    useFlushSync: false
  });
  const items = virtualizer.getVirtualItems();
  const first = items[0]?.index ?? 0;
  const last = items.at(-1)?.index ?? -1;
  React.useEffect(() => {
    if (last >= 0) {
      view.need(first, last);
    }
  });
  useTop(grid, view);
  const curves = React.useSyncExternalStore(view.sparks.subscribe, () =>
    view.look.metrics.map(name => view.sparks.hasCurves(name)).join()
  );
  React.useEffect(() => {
    // The panel was opened before there were runs.
    const panel = grid.current!.closest('.jp-AidpExp');
    if (panel === document.activeElement) {
      grid.current!.focus();
    }
  }, []);
  const layout = React.useMemo(
    () => layoutOf(view, room),
    [view.look.columns, view.look.nameWidth, room, curves]
  );
  const reveal = useReveal(grid);
  const hidden = new Set(view.showsHidden ? view.hidden : []);
  return (
    <div
      ref={grid}
      role="grid"
      className="jp-AidpExp-grid"
      tabIndex={0}
      aria-label={trans.__('Runs')}
      aria-rowcount={total + 1}
      aria-colcount={layout.columns.length}
      aria-multiselectable
      aria-activedescendant={`${prefix}-row-${view.selection.active}`}
      {...useReading(view)}
      {...usePresses(view, reveal)}
    >
      <div role="rowgroup" className="jp-AidpExp-headGroup">
        <Head layout={layout} />
      </div>
      <div
        role="rowgroup"
        className="jp-AidpExp-rows"
        style={{ height: total * ROW, width: layout.width }}
      >
        {items.map(({ index, start }) => {
          const row = runs.row(index);
          return (
            <Row
              key={index}
              row={row}
              index={index}
              top={start}
              layout={layout}
              isSelected={row !== null && view.selection.has(row.id)}
              isActive={index === view.selection.active}
              isGone={row !== null && runs.isGone(row.id)}
              isHidden={row !== null && hidden.has(row.id)}
            />
          );
        })}
      </div>
    </div>
  );
}

/** How wide the list is. */
function useRoom(grid: React.RefObject<HTMLElement>): number {
  const [room, setRoom] = React.useState(0);
  React.useLayoutEffect(() => {
    const node = grid.current!;
    const look = () => setRoom(node.clientWidth);
    const observer = new ResizeObserver(look);
    observer.observe(node);
    look();
    return () => observer.disconnect();
  }, []);
  return room;
}

/** Another question's answer is read from its top. */
function useTop(grid: React.RefObject<HTMLElement>, view: RunsView): void {
  React.useEffect(() => {
    const moved = () => {
      if (grid.current) {
        grid.current.scrollTop = 0;
      }
    };
    view.restarted.connect(moved);
    return () => {
      view.restarted.disconnect(moved);
    };
  }, [view]);
}

/** Bring a row into sight, below the head. */
function useReveal(
  grid: React.RefObject<HTMLElement>
): (index: number) => void {
  return index => {
    const node = grid.current!;
    const top = index * ROW;
    const height = node.clientHeight - HEAD;
    if (top < node.scrollTop) {
      node.scrollTop = top;
    } else if (top + ROW > node.scrollTop + height) {
      node.scrollTop = top + ROW - height;
    }
  };
}

/** Who has the pointer in the list, has scrolled down, or is in it with the keyboard, reads it. */
function useReading(view: RunsView): React.HTMLAttributes<HTMLElement> {
  const reads = React.useRef({ pointer: false, down: false, keys: false });
  const tell = (news: Partial<typeof reads.current>) => {
    Object.assign(reads.current, news);
    view.window.hold(Object.values(reads.current).some(Boolean));
  };
  return {
    onPointerEnter: () => tell({ pointer: true }),
    onPointerLeave: () => tell({ pointer: false }),
    onFocus: () => tell({ keys: true }),
    onBlur: () => tell({ keys: false }),
    onScroll: ({ currentTarget }) => {
      const { dataset, scrollLeft, scrollTop } = currentTarget;
      // What is pinned costs the browser much, and need not be where nothing is moved.
      if (scrollLeft > 0) {
        dataset['moved'] = '';
      } else {
        delete dataset['moved'];
      }
      tell({ down: scrollTop > ROW });
    }
  };
}

/** What keys and presses of the pointer do. */
function usePresses(
  view: RunsView,
  reveal: (index: number) => void
): React.HTMLAttributes<HTMLElement> {
  const { commands } = usePanel();
  return {
    onKeyDown: event => {
      // The names of the columns have keys of their own.
      const isOwn = event.target === event.currentTarget;
      if (isOwn && pressed(event, view, commands)) {
        event.preventDefault();
        event.stopPropagation();
        reveal(view.selection.active);
      }
    },
    onClick: event => {
      const index = indexOf(event.target);
      if (index === null) {
        return;
      }
      const isBox = (event.target as Element).matches(
        '.jp-AidpExp-box, .jp-AidpExp-state'
      );
      if (event.shiftKey) {
        view.selection.move(index, true);
      } else if (isBox || event.ctrlKey || event.metaKey) {
        view.selection.toggle(index);
      } else {
        open(view, index, commands);
      }
    },
    onContextMenu: event => {
      const index = indexOf(event.target);
      const row = index === null ? null : view.window.row(index);
      // The menu is about what is selected, else about what is under the pointer.
      if (row && !view.selection.has(row.id)) {
        view.selection.clear();
        view.selection.move(index!);
      }
    }
  };
}

/** Returns whether the key does something here. */
function pressed(
  { key, shiftKey, ctrlKey, metaKey, currentTarget }: React.KeyboardEvent,
  view: RunsView,
  commands: CommandRegistry
): boolean {
  const { selection } = view;
  const { active } = selection;
  const page = Math.max(
    1,
    Math.floor((currentTarget.clientHeight - HEAD) / ROW) - 1
  );
  const to: Record<string, number> = {
    ArrowDown: active + 1,
    ArrowUp: active - 1,
    PageDown: active + page,
    PageUp: active - page,
    Home: 0,
    End: (view.window.total ?? 1) - 1
  };
  if (key in to) {
    selection.move(to[key]!, shiftKey);
  } else if (key === ' ') {
    selection.toggle(active);
  } else if (key === 'Enter') {
    open(view, active, commands);
  } else if (key === '/') {
    currentTarget
      .closest('.jp-AidpExp')
      ?.querySelector<HTMLElement>('.jp-AidpExp-filter input')
      ?.focus();
  } else if (key === 'a' && (ctrlKey || metaKey)) {
    void selection.selectAll();
  } else if (key === 'Delete') {
    const isDeleted = view.stage === 'deleted';
    void commands.execute(
      isDeleted ? CommandIDs.restoreRuns : CommandIDs.deleteRuns
    );
  } else if (key === 'Escape' && selection.size > 0) {
    selection.clear();
  } else if (key === 'ArrowLeft' || key === 'ArrowRight') {
    currentTarget.scrollLeft += key === 'ArrowLeft' ? -60 : 60;
  } else {
    return false;
  }
  return true;
}

function open(view: RunsView, index: number, commands: CommandRegistry): void {
  const row = view.window.row(index);
  view.selection.move(index);
  if (row) {
    void commands.execute(CommandIDs.openRun, { runs: [row.id] });
  }
}

function indexOf(target: EventTarget): number | null {
  const row = (target as Element).closest<HTMLElement>('.jp-AidpExp-row');
  return row ? Number(row.dataset['index']) : null;
}
