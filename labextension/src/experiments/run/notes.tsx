import { closeIcon, editIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { Answer } from '../../actions/answer';
import { IconButton } from '../../shared/controls';
import { useAction } from '../../shared/hooks';
import { Button, Problem } from '../../shared/panel';
import { Toggle } from '../plot/controls';
import { visible } from '../wording';
import { undoable } from './actions';
import { useRun, useRunContext } from './context';
import { isOwnTag } from './keys';
import { LongText } from './table';

/** MLflow's own limits. */
const MOST_NOTE = 5_000;
const MOST_KEY = 250;
const MOST_VALUE = 8_000;

/** What people say of the run. */
export function Notes(): React.ReactElement {
  return (
    <>
      <Note />
      <Tags />
    </>
  );
}

function Note(): React.ReactElement {
  const context = useRunContext();
  const { model, trans } = context;
  const { can, note } = useRun();
  const [text, setText] = React.useState<string | null>(null);
  const { error, isBusy, start } = useAction();
  const save = () =>
    start(async () => {
      const before = note;
      await undoable(
        trans.__('The note is saved.'),
        () => model.change({ note: text! }),
        () => model.change({ note: before }),
        trans
      );
      if (!model.error) {
        setText(null);
      }
    });
  if (text !== null) {
    return (
      <div className="jp-AidpRun-note">
        <textarea
          className="jp-AidpField"
          autoFocus
          rows={10}
          maxLength={MOST_NOTE}
          aria-label={trans.__('Note, in Markdown')}
          value={text}
          data-lm-suppress-shortcuts="true"
          onChange={({ currentTarget }) => setText(currentTarget.value)}
          onKeyDown={event => {
            if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
              save();
            } else if (event.key === 'Escape' && text === note) {
              setText(null);
            }
          }}
        />
        {error && <Problem message={error.message} nextStep={error.nextStep} />}
        <div className="jp-AidpRun-bar">
          <Button
            disabled={isBusy}
            title={trans.__('Ctrl+Enter')}
            onClick={save}
          >
            {trans.__('Save')}
          </Button>
          <Button onClick={() => setText(null)}>{trans.__('Cancel')}</Button>
          <small>{trans.__('Markdown')}</small>
        </div>
      </div>
    );
  }
  if (!note) {
    return (
      <div className="jp-AidpRun-empty">
        <p>{trans.__('What did you try here, and what came of it?')}</p>
        {can.write && (
          <Button onClick={() => setText('')}>
            {trans.__('Write a note')}
          </Button>
        )}
      </div>
    );
  }
  return (
    <div className="jp-AidpRun-note">
      <Answer text={note} services={context} />
      {can.write && (
        <Button onClick={() => setText(note)}>
          {trans.__('Edit the note')}
        </Button>
      )}
    </div>
  );
}

function Tags(): React.ReactElement {
  const { model, trans } = useRunContext();
  const { can, tags } = useRun();
  const [showsAll, setAll] = React.useState(false);
  const keys = Object.keys(tags)
    .filter(key => showsAll || isOwnTag(key))
    .sort((a, b) => a.localeCompare(b));
  const set = (key: string, value: string | null) => {
    const before = tags[key] ?? null;
    return undoable(
      value === null
        ? trans.__('The tag “%1” is gone.', visible(key))
        : trans.__('The tag “%1” is set.', visible(key)),
      () => model.change({ tags: { [key]: value } }),
      () => model.change({ tags: { [key]: before } }),
      trans
    );
  };
  return (
    <section aria-label={trans.__('Tags')}>
      <div className="jp-AidpRun-bar">
        <h3>{trans.__('Tags')}</h3>
        <Toggle
          label={trans.__('those of programs too')}
          isOn={showsAll}
          onChange={setAll}
        />
      </div>
      {keys.length > 0 && (
        <table className="jp-AidpRun-table" aria-label={trans.__('Tags')}>
          <tbody>
            {keys.map(key => (
              <Tag
                key={key}
                name={key}
                value={tags[key]!}
                canWrite={can.write && isOwnTag(key)}
                set={set}
              />
            ))}
          </tbody>
        </table>
      )}
      {can.write && <NewTag set={set} />}
    </section>
  );
}

type SetTag = (key: string, value: string | null) => Promise<void>;

function Tag(props: {
  readonly name: string;
  readonly value: string;
  readonly canWrite: boolean;
  readonly set: SetTag;
}): React.ReactElement {
  const { name, value, canWrite, set } = props;
  const { trans } = useRunContext();
  const [text, setText] = React.useState<string | null>(null);
  const end = (isKept: boolean) => {
    setText(null);
    if (isKept && text !== null && text !== value) {
      void set(name, text);
    }
  };
  return (
    <tr>
      <th scope="row" title={name}>
        {name}
      </th>
      <td>
        {text === null ? (
          <LongText text={value} trans={trans} />
        ) : (
          <input
            className="jp-AidpField"
            autoFocus
            aria-label={trans.__('Value of %1', name)}
            maxLength={MOST_VALUE}
            value={text}
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
        )}
      </td>
      <td className="jp-AidpRun-tools">
        {canWrite && text === null && (
          <>
            <IconButton
              icon={editIcon}
              label={trans.__('Change %1', name)}
              onClick={() => setText(value)}
            />
            <IconButton
              icon={closeIcon}
              label={trans.__('Delete %1', name)}
              onClick={() => void set(name, null)}
            />
          </>
        )}
      </td>
    </tr>
  );
}

function NewTag({ set }: { readonly set: SetTag }): React.ReactElement {
  const { trans } = useRunContext();
  const [key, setKey] = React.useState('');
  const [value, setValue] = React.useState('');
  const first = React.useRef<HTMLInputElement>(null);
  const name = key.trim();
  const isFit = name !== '' && isOwnTag(name);
  return (
    <form
      className="jp-AidpRun-bar"
      onSubmit={event => {
        event.preventDefault();
        if (isFit) {
          void set(name, value);
          setKey('');
          setValue('');
          first.current?.focus();
        }
      }}
    >
      <input
        ref={first}
        className="jp-AidpField"
        aria-label={trans.__('Name of a new tag')}
        placeholder={trans.__('tag')}
        maxLength={MOST_KEY}
        value={key}
        aria-invalid={name !== '' && !isFit}
        title={
          name !== '' && !isFit
            ? trans.__('Names that begin with mlflow. or aidp. are taken.')
            : ''
        }
        onChange={({ currentTarget }) => setKey(currentTarget.value)}
      />
      <input
        className="jp-AidpField"
        aria-label={trans.__('Value of the new tag')}
        placeholder={trans.__('value')}
        maxLength={MOST_VALUE}
        value={value}
        onChange={({ currentTarget }) => setValue(currentTarget.value)}
      />
      <Button type="submit" disabled={!isFit}>
        {trans.__('Add')}
      </Button>
    </form>
  );
}
