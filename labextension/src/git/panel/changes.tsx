import * as React from 'react';

import { Button } from '../../shared/panel';
import { Section } from '../../shared/section';
import type { IChange } from '../wire';
import {
  changeLetter,
  changeName,
  changeSize,
  changeTitle,
  isLarge,
  visible
} from '../wording';
import { useGit, useRepository } from './context';
import { Path } from './path';

/** How many are drawn before one asks for more. */
const FEW = 100;

/** What differs from the last commit, with a box each for whether it goes along. */
export function Changes(): React.ReactElement {
  const { prefix, trans } = useGit();
  const repository = useRepository();
  const { changes, more } = repository.state;
  const [isOpen, setOpen] = React.useState(true);
  const [limit, setLimit] = React.useState(FEW);
  const all = changes.length + more;
  const chosen = changes.filter(
    ({ path }) => repository.isStaged(path) !== false
  );
  const isAll =
    more === 0 &&
    changes.every(({ path }) => repository.isStaged(path) === true);
  return (
    <Section
      id={`${prefix}-changes`}
      title={trans.__('Changes')}
      summary={
        all > 0 && (
          <span title={trans.__('%1 of %2 go along', chosen.length, all)}>
            {chosen.length} / {all}
          </span>
        )
      }
      actions={
        all > 0 && (
          <Button
            className="jp-AidpShip-all"
            onClick={() =>
              void (isAll
                ? repository.stage(
                    changes.map(({ path }) => path),
                    false
                  )
                : repository.stageAll())
            }
          >
            {isAll ? trans.__('unstage all') : trans.__('stage all')}
          </Button>
        )
      }
      isOpen={isOpen}
      onToggle={setOpen}
    >
      {all === 0 ? (
        <p className="jp-AidpShip-quiet">
          {repository.state.head
            ? trans.__('Nothing has changed since the last commit.')
            : trans.__('No commit yet, and no file to begin with.')}
        </p>
      ) : (
        <>
          <List changes={changes.slice(0, limit)} />
          {changes.length > limit && (
            <Button onClick={() => setLimit(limit + 5 * FEW)}>
              {trans.__('Show more')}
            </Button>
          )}
          {more > 0 && (
            <p className="jp-AidpShip-quiet">
              {trans._n('and %1 more', 'and %1 more', more)}
            </p>
          )}
        </>
      )}
    </Section>
  );
}

/** With the keyboard the list is one stop: up, down, Home and End move in it, space chooses, Enter opens. */
function List({
  changes
}: {
  readonly changes: readonly IChange[];
}): React.ReactElement {
  const { openChange, trans } = useGit();
  const repository = useRepository();
  const [current, setCurrent] = React.useState('');
  const stop = changes.some(({ path }) => path === current)
    ? current
    : changes[0]?.path;
  const moved = (event: React.KeyboardEvent, change: IChange) => {
    const boxes = [
      ...event.currentTarget
        .closest('ul')!
        .querySelectorAll<HTMLElement>('input[type="checkbox"]')
    ];
    const at = boxes.indexOf(event.currentTarget as HTMLElement);
    const to: Record<string, number> = {
      ArrowUp: at - 1,
      ArrowDown: at + 1,
      Home: 0,
      End: boxes.length - 1
    };
    if (event.key in to) {
      boxes[to[event.key]!]?.focus();
    } else if (event.key === 'Enter') {
      openChange(repository, change);
    } else {
      return;
    }
    event.preventDefault();
  };
  return (
    <ul className="jp-AidpShip-changes" aria-label={trans.__('Changes')}>
      {changes.map(change => (
        <Change
          key={change.path}
          change={change}
          isStop={change.path === stop}
          onFocus={() => setCurrent(change.path)}
          onKeyDown={event => moved(event, change)}
        />
      ))}
    </ul>
  );
}

function Change(props: {
  readonly change: IChange;
  readonly isStop: boolean;
  readonly onFocus: () => void;
  readonly onKeyDown: (event: React.KeyboardEvent) => void;
}): React.ReactElement {
  const { change, isStop, onFocus, onKeyDown } = props;
  const { format, openChange, trans } = useGit();
  const repository = useRepository();
  const { path, kind, size } = change;
  const staged = repository.isStaged(path);
  const title = changeTitle(change, format, trans);
  const amount = changeSize(change, format, trans);
  return (
    <li data-kind={kind}>
      <input
        type="checkbox"
        tabIndex={isStop ? 0 : -1}
        aria-label={trans.__('%1, %2', visible(path), changeName(kind, trans))}
        checked={staged === true}
        ref={box => {
          if (box) {
            box.indeterminate = staged === 'partly';
          }
        }}
        onFocus={onFocus}
        onKeyDown={onKeyDown}
        onChange={() => void repository.stage([path], staged !== true)}
      />
      <button
        type="button"
        className="jp-AidpShip-file"
        tabIndex={-1}
        title={title}
        onClick={() => openChange(repository, change)}
      >
        <Path path={path} title={title} />
      </button>
      <abbr className="jp-AidpShip-kind" title={changeName(kind, trans)}>
        {changeLetter(kind)}
      </abbr>
      <span className="jp-AidpShip-amount">
        {amount}
        {size !== null && isLarge(change) && (
          <span className="jp-AidpShip-large">
            {' '}
            ⚠{' '}
            {amount === format.bytes(size)
              ? trans.__('large')
              : trans.__('large: %1', format.bytes(size))}
          </span>
        )}
      </span>
    </li>
  );
}
