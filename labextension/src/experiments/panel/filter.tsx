import * as React from 'react';

import { closeIcon } from '@jupyterlab/ui-components';

import { positionOf } from '../api';
import { quoted } from '../list/columns';
import type { IProposal, ISituation } from '../list/filter';
import {
  accepted,
  fixedProposals,
  isHalfWritten,
  keyOf,
  literal,
  situation
} from '../list/filter';
import type { IKeys } from '../wire';
import { usePanel, useView } from './context';

/** Who writes is not interrupted. */
const REST_MS = 350;
const FEW = 12;

/** What runs are looked for, in MLflow's search syntax or in words, with what can follow. */
export function Filter(): React.ReactElement {
  const { trans, view, prefix } = useView();
  const [text, setText] = React.useState(view.text);
  const [cursor, setCursor] = React.useState<number | null>(null);
  const [at, setAt] = React.useState(-1);
  const field = React.useRef<HTMLInputElement>(null);
  const timer = React.useRef<ReturnType<typeof setTimeout>>();
  // Cleared or set from elsewhere.
  React.useEffect(() => setText(view.text), [view.text]);
  React.useEffect(() => () => clearTimeout(timer.current), []);
  const proposals = useProposals(text, cursor);
  const { filterError } = view;
  const isOpen = cursor !== null && proposals.items.length > 0;
  const ask = (now: string) => {
    clearTimeout(timer.current);
    view.write(now);
  };
  const write = (now: string, place: number) => {
    setText(now);
    setCursor(place);
    setAt(-1);
    clearTimeout(timer.current);
    // While it is half written the list stays as it is.
    if (!isHalfWritten(now)) {
      timer.current = setTimeout(() => view.write(now), REST_MS);
    }
  };
  const take = ({ text: proposal }: IProposal) => {
    const [now, place] = accepted(text, proposals.where, proposal);
    write(now, place);
    requestAnimationFrame(() => {
      field.current?.focus();
      field.current?.setSelectionRange(place, place);
    });
  };
  const pressed = (event: React.KeyboardEvent) => {
    const { items } = proposals;
    if (isOpen && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
      const step = event.key === 'ArrowDown' ? 1 : -1;
      setAt(Math.max(-1, Math.min(items.length - 1, at + step)));
    } else if (isOpen && at >= 0 && ['Enter', 'Tab'].includes(event.key)) {
      take(items[at]!);
    } else if (event.key === 'Enter') {
      setCursor(null);
      ask(text);
    } else if (event.key === 'Escape' && isOpen) {
      setCursor(null);
      event.stopPropagation();
    } else if (event.key === 'Escape' && text) {
      setText('');
      ask('');
      event.stopPropagation();
    } else if (event.key === 'ArrowDown' && !event.altKey) {
      setCursor(field.current?.selectionStart ?? null);
    } else {
      return;
    }
    event.preventDefault();
  };
  return (
    <div className="jp-AidpExp-filter">
      <div className="jp-AidpExp-field">
        <input
          ref={field}
          className="jp-AidpField"
          type="text"
          role="combobox"
          spellCheck={false}
          autoComplete="off"
          aria-label={trans.__('Filter')}
          aria-autocomplete="list"
          aria-expanded={isOpen}
          aria-controls={`${prefix}-proposals`}
          aria-activedescendant={
            isOpen && at >= 0 ? `${prefix}-proposal-${at}` : undefined
          }
          aria-invalid={filterError !== null}
          aria-describedby={filterError ? `${prefix}-filter-error` : undefined}
          placeholder={trans.__('Filter: metrics.loss < 0.3')}
          title={trans.__(
            "A part of a name, or a filter: metrics.loss < 0.3 AND params.model = 'cnn'"
          )}
          value={text}
          onChange={({ currentTarget }) =>
            write(
              currentTarget.value,
              currentTarget.selectionStart ?? currentTarget.value.length
            )
          }
          onClick={() => setCursor(field.current?.selectionStart ?? null)}
          onBlur={() => setCursor(null)}
          onKeyDown={pressed}
        />
        {text && (
          <button
            type="button"
            className="jp-AidpExp-clear"
            aria-label={trans.__('Clear the filter')}
            title={trans.__('Clear the filter')}
            onClick={() => {
              setText('');
              ask('');
              field.current?.focus();
            }}
          >
            <closeIcon.react tag="span" width="12px" />
          </button>
        )}
      </div>
      <ul
        id={`${prefix}-proposals`}
        role="listbox"
        aria-label={trans.__('What can follow')}
        className="jp-AidpExp-options jp-AidpExp-proposals"
        hidden={!isOpen}
      >
        {proposals.items.map((item, index) => (
          <li
            key={item.text}
            id={`${prefix}-proposal-${index}`}
            role="option"
            aria-selected={index === at}
            // The field keeps the keyboard.
            onPointerDown={event => event.preventDefault()}
            onClick={() => take(item)}
          >
            <code>{item.text}</code>
            <span className="jp-AidpExp-counts">{item.detail}</span>
          </li>
        ))}
      </ul>
      {filterError && (
        <FilterError
          id={`${prefix}-filter-error`}
          text={text}
          message={filterError.message}
          position={positionOf(filterError)!}
          goTo={place => {
            field.current?.focus();
            field.current?.setSelectionRange(place, text.length);
          }}
        />
      )}
    </div>
  );
}

/** What is wrong with a filter, below the place where it is. */
function FilterError(props: {
  readonly id: string;
  readonly text: string;
  readonly message: string;
  readonly position: number;
  readonly goTo: (position: number) => void;
}): React.ReactElement {
  const { id, text, message, position, goTo } = props;
  const { trans } = usePanel();
  const at = Math.min(position, text.length);
  return (
    <div className="jp-AidpProblem" id={id} role="alert">
      <p>{message}</p>
      <button
        type="button"
        className="jp-AidpExp-where"
        title={trans.__('Go there')}
        onClick={() => goTo(at)}
      >
        <code>
          {text.slice(Math.max(0, at - 16), at)}
          <mark>{text.slice(at, at + 16) || '␣'}</mark>
        </code>
      </button>
    </div>
  );
}

interface IProposals {
  readonly items: readonly IProposal[];
  readonly where: ISituation;
}

/** What can be written at the cursor: keys are looked for on the server, since there may be thousands. */
function useProposals(text: string, cursor: number | null): IProposals {
  const { model, view } = usePanel();
  const where = situation(text, cursor ?? text.length);
  const { expects } = where;
  const isKey = expects === 'key';
  const [kind, name] = keyOf(isKey ? where.word : where.key);
  const search = expects === 'key' || expects === 'value' ? name : null;
  const experiment = view.experiment?.id;
  const [keys, setKeys] = React.useState<IKeys | null>(null);
  React.useEffect(() => {
    if (cursor === null || search === null || !experiment) {
      return undefined;
    }
    const abort = new AbortController();
    const timer = setTimeout(
      () => {
        model.api.keys({ experiment, search, limit: FEW }, abort.signal).then(
          found => setKeys(found),
          // Without them there are fewer proposals.
          () => undefined
        );
      },
      search ? 120 : 0
    );
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [cursor === null, search, experiment]);
  const items =
    cursor === null
      ? []
      : isKey
        ? keyProposals(keys, kind, name, fixedProposals(where))
        : [
            ...fixedProposals(where).map(one => ({ text: one, detail: '' })),
            ...(expects === 'value'
              ? valueProposals(keys, kind, name, where)
              : [])
          ];
  return { items, where };
}

function keyProposals(
  keys: IKeys | null,
  kind: string,
  name: string,
  fixed: readonly string[]
): IProposal[] {
  const has = (key: string) => key.toLowerCase().includes(name.toLowerCase());
  const of = (
    which: 'metrics' | 'params' | 'tags',
    all: readonly { key: string; runs: number }[]
  ) =>
    kind === which || kind === ''
      ? all
          .filter(({ key }) => has(key))
          .map(({ key, runs }) => ({
            text: quoted(`${which}.${key}`),
            detail: String(runs)
          }))
      : [];
  return [
    ...of('metrics', keys?.metrics ?? []),
    ...of('params', keys?.params ?? []),
    ...of('tags', keys?.tags ?? []),
    ...fixed.map(one => ({ text: one, detail: '' }))
  ].slice(0, FEW);
}

function valueProposals(
  keys: IKeys | null,
  kind: string,
  name: string,
  { word }: ISituation
): IProposal[] {
  const bare = word.replace(/^['"]/, '').toLowerCase();
  if (kind === 'metrics') {
    const found = keys?.metrics.find(({ key }) => key === name);
    return found && !word
      ? [found.min, found.max].flatMap((value, index) =>
          typeof value === 'number'
            ? { text: String(value), detail: index ? '↑' : '↓' }
            : []
        )
      : [];
  }
  const all =
    kind === 'params' ? keys?.params : kind === 'tags' ? keys?.tags : null;
  const found = all?.find(({ key }) => key === name);
  return (found?.values ?? [])
    .filter(value => value.toLowerCase().includes(bare) && value.length < 200)
    .slice(0, FEW)
    .map(value => ({ text: literal(value), detail: '' }));
}
