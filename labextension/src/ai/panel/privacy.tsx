import * as React from 'react';

import { Select } from '../../shared/controls';
import { useAction, useSignals } from '../../shared/hooks';
import type { PanelState } from '../../shared/panel';
import { Button, Panel, Problem } from '../../shared/panel';
import { Section } from '../../shared/section';
import type { IRuleChange, IRules, Privacy } from '../wire';
import { usePanel } from './context';

/** What a pattern looks like. */
const PLACEHOLDER = 'data/**';

/** What never leaves this machine, by the user's rules and by the admin's. */
export function PrivacyRules(): React.ReactElement {
  const { data, trans } = usePanel();
  const { rules } = data;
  useSignals(rules.changed);
  const [isOpen, setOpen] = React.useState(false);
  const { value, error } = rules;
  const kept = value ? [...value.admin.never_leave, ...value.never_leave] : [];
  const state: PanelState = value
    ? { kind: 'full' }
    : error
      ? { kind: 'error', error, retry: () => void rules.load() }
      : { kind: 'loading' };
  return (
    <Section
      id="jp-aidp-privacy"
      title={trans.__('Privacy')}
      summary={
        kept.length > 0 && (
          <span title={kept.join('\n')}>
            {trans.__('never leaves: %1', kept.join(', '))}
          </span>
        )
      }
      isOpen={isOpen}
      onToggle={setOpen}
    >
      <Panel state={state} trans={trans}>
        {value && <Rules rules={value} />}
      </Panel>
    </Section>
  );
}

function Rules({ rules }: { readonly rules: IRules }): React.ReactElement {
  const { api, data, trans } = usePanel();
  const { never_leave, privacy, admin, file } = rules;
  const [isEditing, setEditing] = React.useState(false);
  /** What a change replaced. */
  const [before, setBefore] = React.useState<IRuleChange | null>(null);
  const { isBusy, error, start, reset } = useAction();
  const edit = React.useRef<HTMLButtonElement>(null);
  const change = (to: IRuleChange, undo: IRuleChange | null) =>
    start(async () => {
      data.rules.set(await api.setRules(to));
      setBefore(undo);
      setEditing(false);
    });
  const classes: readonly (readonly [Privacy | '', string])[] = [
    ['', trans.__('decided for each call')],
    ['local', trans.__('local models only')],
    ['redact', trans.__('secrets replaced')],
    ['cloud', trans.__('as it is')]
  ];
  return (
    <>
      {rules.problem && (
        <Problem
          message={rules.problem}
          nextStep={trans.__('Until it is mended nothing leaves.')}
        />
      )}
      <label className="jp-AidpAI-bar">
        <span>{trans.__('Text may leave')}</span>
        <Select
          label={trans.__('How text may leave this machine')}
          value={privacy ?? ''}
          options={classes}
          isDisabled={isBusy}
          onChange={chosen =>
            change({ never_leave, privacy: chosen || null }, rules)
          }
        />
      </label>
      {isEditing ? (
        <Patterns
          patterns={never_leave}
          isBusy={isBusy}
          onSave={patterns => change({ never_leave: patterns, privacy }, rules)}
          onCancel={() => {
            reset();
            setEditing(false);
            requestAnimationFrame(() => edit.current?.focus());
          }}
        />
      ) : (
        <div className="jp-AidpAI-row">
          <span className="jp-AidpAI-grow">{trans.__('Never leaves')}</span>
          <Button
            ref={edit}
            onClick={() => {
              setBefore(null);
              setEditing(true);
            }}
          >
            {trans.__('Edit')}
          </Button>
          {never_leave.length > 0 ? (
            <ul aria-label={trans.__('Never leaves')}>
              {never_leave.map(pattern => (
                <li key={pattern}>
                  <code>{pattern}</code>
                </li>
              ))}
            </ul>
          ) : (
            <p>
              {trans.__(
                'No file is kept here yet. What is named here stays with local models.'
              )}
            </p>
          )}
        </div>
      )}
      {error && <Problem message={error.message} nextStep={error.nextStep} />}
      {before && !isEditing && !error && (
        <p className="jp-AidpAI-bar" role="status">
          <span>{trans.__('Saved in %1.', file)}</span>
          <Button disabled={isBusy} onClick={() => change(before, null)}>
            {trans.__('Undo')}
          </Button>
        </p>
      )}
      {(admin.never_leave.length > 0 || admin.privacy) && (
        <p>
          {trans.__('Set for everyone here:')}{' '}
          {admin.never_leave.map((pattern, index) => (
            <React.Fragment key={pattern}>
              {index > 0 && ', '}
              <code>{pattern}</code>
            </React.Fragment>
          ))}
          {admin.never_leave.length > 0 && admin.privacy && ' · '}
          {classes.find(([one]) => one === admin.privacy)?.[1]}
        </p>
      )}
    </>
  );
}

function Patterns(props: {
  readonly patterns: readonly string[];
  readonly isBusy: boolean;
  readonly onSave: (patterns: string[]) => void;
  readonly onCancel: () => void;
}): React.ReactElement {
  const { patterns, isBusy, onSave, onCancel } = props;
  const { trans } = usePanel();
  const [text, setText] = React.useState(patterns.join('\n'));
  const field = React.useRef<HTMLTextAreaElement>(null);
  React.useEffect(() => field.current?.focus(), []);
  const save = () =>
    onSave(
      text
        .split('\n')
        .map(line => line.trim())
        .filter(Boolean)
    );
  return (
    <div className="jp-AidpAI-row">
      <label htmlFor="jp-aidp-patterns">{trans.__('Never leaves')}</label>
      <textarea
        ref={field}
        id="jp-aidp-patterns"
        className="jp-AidpField"
        rows={Math.min(10, Math.max(3, text.split('\n').length + 1))}
        value={text}
        spellCheck={false}
        placeholder={PLACEHOLDER}
        aria-describedby="jp-aidp-patterns-help"
        onChange={event => setText(event.currentTarget.value)}
        onKeyDown={event => {
          if (event.key === 'Escape') {
            event.stopPropagation();
            onCancel();
          } else if (
            event.key === 'Enter' &&
            (event.ctrlKey || event.metaKey)
          ) {
            event.preventDefault();
            save();
          }
        }}
      />
      <small id="jp-aidp-patterns-help">
        {trans.__(
          'One pattern a line, as in .gitignore; the word outputs keeps what cells print.'
        )}
      </small>
      <div className="jp-AidpAI-buttons">
        <Button disabled={isBusy} onClick={save}>
          {isBusy ? trans.__('Saving…') : trans.__('Save')}
        </Button>
        <Button onClick={onCancel}>{trans.__('Cancel')}</Button>
      </div>
    </div>
  );
}
