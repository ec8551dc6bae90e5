import * as React from 'react';

/** One line of a list of lines that unfold. */
export interface IFold {
  readonly key: string;
  readonly head: React.ReactNode;
  /** A button beside the line. */
  readonly aside?: React.ReactNode;
  readonly body: () => React.ReactNode;
  /** For the style: how the thing is. */
  readonly state?: string;
}

/** Which lines are unfolded. */
export interface IUnfolded {
  readonly has: (key: string) => boolean;
  readonly set: (key: string, isOpen: boolean) => void;
}

export function useUnfolded(): IUnfolded {
  const [open, setOpen] = React.useState<ReadonlySet<string>>(new Set());
  return {
    has: key => open.has(key),
    set: (key, isOpen) =>
      setOpen(before => {
        const after = new Set(before);
        if (isOpen) {
          after.add(key);
        } else {
          after.delete(key);
        }
        return after;
      })
  };
}

/**
 * Lines that unfold. With the keyboard the list is one stop: up, down, Home and End move in it, Enter and right
 * unfold, left and Escape fold.
 */
export function Folds(props: {
  /** What the list holds, for who cannot see it. */
  readonly label: string;
  readonly items: readonly IFold[];
  readonly unfolded: IUnfolded;
}): React.ReactElement {
  const { label, items, unfolded } = props;
  const [current, setCurrent] = React.useState('');
  const stop = items.some(({ key }) => key === current)
    ? current
    : items[0]?.key;

  const moved = (event: React.KeyboardEvent, key: string) => {
    const heads = [
      ...event.currentTarget
        .closest('ul')!
        .querySelectorAll<HTMLElement>(':scope > li > div > [aria-expanded]')
    ];
    const at = heads.indexOf(event.currentTarget as HTMLElement);
    const to: Record<string, number> = {
      ArrowUp: at - 1,
      ArrowDown: at + 1,
      Home: 0,
      End: heads.length - 1
    };
    if (event.key in to) {
      heads[to[event.key]!]?.focus();
    } else if (event.key === 'ArrowRight') {
      unfolded.set(key, true);
    } else if (event.key === 'ArrowLeft') {
      unfolded.set(key, false);
    } else {
      return;
    }
    event.preventDefault();
  };

  const left = (event: React.KeyboardEvent<HTMLElement>, key: string) => {
    if (event.key === 'Escape' && unfolded.has(key)) {
      event.stopPropagation();
      unfolded.set(key, false);
      event.currentTarget
        .querySelector<HTMLElement>('[aria-expanded]')
        ?.focus();
    }
  };

  return (
    <ul className="jp-AidpFolds" aria-label={label}>
      {items.map(({ key, head, aside, body, state }) => {
        const isOpen = unfolded.has(key);
        return (
          <li
            key={key}
            data-key={key}
            data-state={state}
            onKeyDown={event => left(event, key)}
          >
            <div className="jp-AidpFolds-line">
              <button
                type="button"
                className="jp-AidpFolds-head"
                aria-expanded={isOpen}
                tabIndex={key === stop ? 0 : -1}
                onFocus={() => setCurrent(key)}
                onKeyDown={event => moved(event, key)}
                onClick={() => unfolded.set(key, !isOpen)}
              >
                <span className="jp-AidpCaret" aria-hidden />
                {head}
              </button>
              {aside}
            </div>
            {isOpen && <div className="jp-AidpFolds-body">{body()}</div>}
          </li>
        );
      })}
    </ul>
  );
}
