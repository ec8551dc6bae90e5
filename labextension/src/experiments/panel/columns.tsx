import {
  caretDownIcon,
  caretUpIcon,
  closeIcon
} from '@jupyterlab/ui-components';
import * as React from 'react';

import { Button } from '../../shared/panel';
import type { IColumn } from '../list/columns';
import {
  FACTS,
  MOST_COLUMNS,
  columnName,
  columnTitle,
  split
} from '../list/columns';
import type { IKeys } from '../wire';
import { visible } from '../wording';
import { usePanel, useView } from './context';
import { pinIcon } from './pin';
import { Popover } from './popover';

/** How many are found at a time. */
const FEW = 60;

/** The button to choose columns, and what it opens. */
export function ColumnsButton(): React.ReactElement {
  const { trans } = usePanel();
  const [isOpen, setOpen] = React.useState(false);
  const button = React.useRef<HTMLButtonElement>(null);
  return (
    <>
      <button
        ref={button}
        type="button"
        className="jp-AidpExp-columnsButton"
        aria-haspopup="dialog"
        aria-expanded={isOpen}
        title={trans.__('Choose columns')}
        onClick={() => setOpen(!isOpen)}
      >
        {trans.__('columns')}
        <span className="jp-AidpExp-down" aria-hidden />
      </button>
      {isOpen && (
        <Popover
          label={trans.__('Columns')}
          anchor={button}
          onClose={() => setOpen(false)}
        >
          <Columns />
        </Popover>
      )}
    </>
  );
}

function Columns(): React.ReactElement {
  const { trans, view } = useView();
  const { columns } = view.look;
  const [words, setWords] = React.useState('');
  const { keys, isBusy } = useKeys(words);
  const chosen = new Set(columns.map(({ key }) => key));
  const find = words.trim().toLowerCase();
  const facts = FACTS.filter(key =>
    columnName(key, trans).toLowerCase().includes(find)
  );
  const found: readonly string[] = [
    ...facts,
    ...(keys?.metrics ?? []).map(({ key }) => `metrics.${key}`),
    ...(keys?.params ?? []).map(({ key }) => `params.${key}`),
    ...(keys?.tags ?? []).map(({ key }) => `tags.${key}`)
  ].filter(key => !chosen.has(key));
  const hasChosen = columns.some(({ key }) =>
    columnName(key, trans).toLowerCase().includes(find)
  );
  const set = (next: readonly IColumn[]) => view.setColumns(next);
  const swap = (at: number, to: number) => {
    const next = [...columns];
    [next[at], next[to]] = [next[to]!, next[at]!];
    set(next);
  };
  return (
    <>
      <input
        className="jp-AidpField"
        type="search"
        aria-label={trans.__('Find a metric, parameter or tag')}
        placeholder={trans.__('Find a metric, parameter or tag')}
        autoFocus
        value={words}
        onChange={event => setWords(event.currentTarget.value)}
      />
      <div className="jp-AidpExp-columns">
        <ul aria-label={trans.__('Columns that are shown')}>
          {columns.map((column, at) => (
            <Chosen
              key={column.key}
              column={column}
              isFirst={at === 0}
              isLast={at === columns.length - 1}
              move={step => swap(at, at + step)}
              pin={() =>
                set(
                  columns.map(one =>
                    one === column ? { ...one, isPinned: !one.isPinned } : one
                  )
                )
              }
              remove={() => set(columns.filter(one => one !== column))}
            />
          ))}
        </ul>
        <ul aria-label={trans.__('Columns that can be added')}>
          {found.map(key => (
            <li key={key} title={columnTitle(key, trans)}>
              <label className="jp-AidpExp-check">
                <input
                  type="checkbox"
                  checked={false}
                  disabled={columns.length >= MOST_COLUMNS}
                  onChange={() => set([...columns, { key }])}
                />
                <ColumnName of={key} />
              </label>
            </li>
          ))}
        </ul>
        {found.length === 0 && !hasChosen && (
          <p className="jp-AidpExp-quiet" role="status">
            {isBusy ? trans.__('Looking…') : trans.__('None of that name.')}
          </p>
        )}
        {(keys?.metrics.length === FEW || keys?.params.length === FEW) && (
          <p className="jp-AidpExp-quiet">
            {trans.__('There are more: write a part of a name.')}
          </p>
        )}
        {columns.length >= MOST_COLUMNS && (
          <p className="jp-AidpExp-quiet">
            {trans.__('%1 columns are the most.', MOST_COLUMNS)}
          </p>
        )}
      </div>
      <Button onClick={() => view.resetColumns()}>
        {trans.__('As at first')}
      </Button>
    </>
  );
}

function Chosen(props: {
  readonly column: IColumn;
  readonly isFirst: boolean;
  readonly isLast: boolean;
  readonly move: (step: number) => void;
  readonly pin: () => void;
  readonly remove: () => void;
}): React.ReactElement {
  const { column, isFirst, isLast, move, pin, remove } = props;
  const { trans } = usePanel();
  const { key, isPinned } = column;
  const name = columnName(key, trans);
  return (
    <li title={columnTitle(key, trans)}>
      <label className="jp-AidpExp-check">
        <input type="checkbox" checked onChange={remove} />
        <ColumnName of={key} />
      </label>
      <button
        type="button"
        className="jp-AidpIconButton jp-AidpExp-pin"
        aria-pressed={!!isPinned}
        aria-label={trans.__('Pin %1', name)}
        title={trans.__('Keep it in sight at the left')}
        onClick={pin}
      >
        <pinIcon.react tag="span" width="14px" />
      </button>
      <button
        type="button"
        className="jp-AidpIconButton"
        aria-label={trans.__('Move %1 to the left', name)}
        title={trans.__('Further to the left')}
        disabled={isFirst}
        onClick={() => move(-1)}
      >
        <caretUpIcon.react tag="span" width="14px" />
      </button>
      <button
        type="button"
        className="jp-AidpIconButton"
        aria-label={trans.__('Move %1 to the right', name)}
        title={trans.__('Further to the right')}
        disabled={isLast}
        onClick={() => move(1)}
      >
        <caretDownIcon.react tag="span" width="14px" />
      </button>
      <button
        type="button"
        className="jp-AidpIconButton"
        aria-label={trans.__('Remove %1', name)}
        title={trans.__('Remove')}
        onClick={remove}
      >
        <closeIcon.react tag="span" width="12px" />
      </button>
    </li>
  );
}

function ColumnName({ of }: { readonly of: string }): React.ReactElement {
  const { trans } = usePanel();
  const [kind] = split(of);
  return (
    <>
      <span className="jp-AidpExp-name">{visible(columnName(of, trans))}</span>
      {kind !== 'fact' && (
        <small className="jp-AidpExp-kind">
          {kind === 'metrics'
            ? trans.__('metric')
            : kind === 'params'
              ? trans.__('param')
              : trans.__('tag')}
        </small>
      )}
    </>
  );
}

/** What there is of that name: looked for on the server. */
function useKeys(words: string): {
  readonly keys: IKeys | null;
  readonly isBusy: boolean;
} {
  const { model, view } = usePanel();
  const experiment = view.experiment?.id;
  const [keys, setKeys] = React.useState<IKeys | null>(null);
  const [isBusy, setBusy] = React.useState(true);
  React.useEffect(() => {
    if (!experiment) {
      return undefined;
    }
    const abort = new AbortController();
    setBusy(true);
    const search = words.trim();
    const timer = setTimeout(
      () => {
        model.api.keys({ experiment, search, limit: FEW }, abort.signal).then(
          found => {
            setKeys(found);
            setBusy(false);
          },
          () => setBusy(abort.signal.aborted)
        );
      },
      search ? 150 : 0
    );
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [experiment, words.trim()]);
  return { keys, isBusy };
}
