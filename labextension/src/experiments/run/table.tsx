import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

/** Of so many lines on there is a field to search, and not all are drawn at once. */
const MANY = 12;
const ROWS = 200;

/** Lines that can be searched; of thousands the first ones are drawn, and more when wished. */
export function SearchedTable<T>(props: {
  readonly label: string;
  /** For the field: "Search 5,000 parameters". */
  readonly searchLabel: string;
  readonly columns: readonly string[];
  readonly items: readonly T[];
  /** What is searched. */
  readonly wordsOf: (item: T) => string;
  readonly row: (item: T) => React.ReactElement;
  readonly empty: string;
  readonly trans: TranslationBundle;
  readonly actions?: React.ReactNode;
}): React.ReactElement {
  const { columns, empty, items, label, row, trans, wordsOf } = props;
  const [words, setWords] = React.useState('');
  const [count, setCount] = React.useState(ROWS);
  const wanted = words.trim().toLowerCase();
  const found = React.useMemo(
    () =>
      wanted
        ? items.filter(one => wordsOf(one).toLowerCase().includes(wanted))
        : items,
    [items, wanted]
  );
  if (items.length === 0) {
    return (
      <div className="jp-AidpRun-empty">
        <p>{empty}</p>
        {props.actions}
      </div>
    );
  }
  return (
    <>
      {(items.length >= MANY || props.actions) && (
        <div className="jp-AidpRun-bar">
          {items.length >= MANY && (
            <input
              type="search"
              className="jp-AidpField"
              aria-label={props.searchLabel}
              placeholder={props.searchLabel}
              value={words}
              onChange={({ currentTarget }) => setWords(currentTarget.value)}
            />
          )}
          {props.actions}
        </div>
      )}
      <table className="jp-AidpRun-table" aria-label={label}>
        <thead>
          <tr>
            {columns.map(name => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{found.slice(0, count).map(row)}</tbody>
      </table>
      {found.length === 0 && (
        <p className="jp-AidpRun-quiet">
          {trans.__('Nothing is called like that.')}
        </p>
      )}
      {found.length > count && (
        <button
          type="button"
          className="jp-AidpButton"
          onClick={() => setCount(count + 5 * ROWS)}
        >
          {trans.__('Show more: %1 of %2', count, found.length)}
        </button>
      )}
    </>
  );
}

/** A text on one line, whole in the tooltip; a click on a long one shows all of it. */
export function LongText(props: {
  readonly text: string;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { text, trans } = props;
  const [isOpen, setOpen] = React.useState(false);
  const isLong = text.length > 60 || text.includes('\n');
  if (!isLong) {
    return (
      <span className="jp-AidpRun-text" title={text}>
        {text}
      </span>
    );
  }
  return (
    <button
      type="button"
      className="jp-AidpRun-text"
      aria-expanded={isOpen}
      title={isOpen ? trans.__('Show one line') : text.slice(0, 2000)}
      onClick={() => setOpen(!isOpen)}
    >
      {isOpen ? text : text.slice(0, 300)}
    </button>
  );
}
