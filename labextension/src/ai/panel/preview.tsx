import * as React from 'react';

import { Select } from '../../shared/controls';
import { useAction } from '../../shared/hooks';
import { Button, Problem } from '../../shared/panel';
import { Prose } from '../../shared/prose';
import { Section } from '../../shared/section';
import type { IPreview } from '../wire';
import { privacyName } from '../wording';
import { usePanel } from './context';
import { marked, texts } from './marks';

/** What would leave this machine if a text were sent: it is shown, not sent. */
export function Preview(): React.ReactElement {
  const { trans } = usePanel();
  const [isOpen, setOpen] = React.useState(false);
  return (
    <Section
      id="jp-aidp-preview"
      title={trans.__('What would leave?')}
      isOpen={isOpen}
      onToggle={setOpen}
    >
      <Question />
    </Section>
  );
}

function Question(): React.ReactElement {
  const { api, excerpt, trans } = usePanel();
  const [text, setText] = React.useState('');
  const [path, setPath] = React.useState('');
  const [model, setModel] = React.useState('auto');
  const [answer, setAnswer] = React.useState<IPreview | null>(null);
  const [isMissing, setMissing] = React.useState(false);
  const { isBusy, error, start, reset } = useAction();
  const change = (to: string, from: string) => {
    reset();
    setAnswer(null);
    setMissing(false);
    setText(to);
    setPath(from);
  };
  const take = () => {
    const found = excerpt();
    if (found) {
      change(found.text, found.path);
    }
    setMissing(!found);
  };
  const ask = () =>
    start(async signal => {
      setAnswer(null);
      const question = { text, model, path, privacy: null };
      setAnswer(await api.preview(question, signal));
    });
  return (
    <div className="jp-AidpAI-preview">
      <textarea
        className="jp-AidpField"
        rows={4}
        value={text}
        spellCheck={false}
        aria-label={trans.__('Text to look at')}
        placeholder={trans.__('A text that you would send to a model')}
        onChange={event => change(event.currentTarget.value, path)}
        onKeyDown={event => {
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            ask();
          }
        }}
      />
      {path && (
        <p className="jp-AidpAI-url">
          <span>
            {trans.__('from')} <code title={path}>{path}</code>
          </span>
          <Button onClick={() => change(text, '')}>
            {trans.__('Forget the file')}
          </Button>
        </p>
      )}
      <div className="jp-AidpAI-buttons">
        <Button
          title={trans.__('What is selected, or else the current cell')}
          onClick={take}
        >
          {trans.__('Use current cell')}
        </Button>
        <Select
          label={trans.__('Which model')}
          value={model}
          options={[
            ['auto', trans.__('chosen model')],
            ['auto:cloud', trans.__('a cloud model')]
          ]}
          onChange={to => {
            reset();
            setAnswer(null);
            setModel(to);
          }}
        />
        <Button disabled={isBusy || !text.trim()} onClick={ask}>
          {isBusy ? trans.__('Looking…') : trans.__('Show')}
        </Button>
      </div>
      {isMissing && (
        <p role="status">
          {trans.__('Open a notebook or a file first: its text is used.')}
        </p>
      )}
      {error && <Problem message={error.message} nextStep={error.nextStep} />}
      {answer && <Answer answer={answer} />}
    </div>
  );
}

function Answer({ answer }: { readonly answer: IPreview }): React.ReactElement {
  const { format, trans } = usePanel();
  const { leaves, label, route, bytes, findings, body } = answer;
  const placeholders = findings.map(({ placeholder }) => placeholder);
  const name = label ?? route ?? '';
  return (
    <div role="status" className="jp-AidpAI-answer">
      <p>
        <strong>
          {leaves
            ? trans.__('%1 would go to %2.', format.bytes(bytes), name)
            : route
              ? trans.__('Nothing would leave: %1 answers here.', name)
              : trans.__('Nothing would leave.')}
        </strong>{' '}
        <Prose text={answer.message} /> <Prose text={answer.next_step} />
      </p>
      <p>
        {privacyName(answer.privacy, trans)}
        {answer.privacy_message && `. ${answer.privacy_message}`}{' '}
        {answer.privacy_detail && <code>{answer.privacy_detail}</code>}
      </p>
      {findings.length > 0 && (
        <ul className="jp-AidpAI-findings" aria-label={trans.__('Found')}>
          {findings.map(({ kind, label, placeholder, count }) => (
            <li key={`${kind} ${placeholder}`} className="jp-AidpAI-ends">
              <span>{count > 1 ? `${count} × ${label}` : label}</span>
              {placeholder && <mark>{placeholder}</mark>}
            </li>
          ))}
        </ul>
      )}
      {answer.url && (
        <p>
          <small>
            {trans.__('to')} <code>{answer.url}</code>
          </small>
        </p>
      )}
      {answer.notes.map(note => (
        <p key={note}>{note}</p>
      ))}
      {leaves && (
        <>
          {texts(body).map((part, index) => (
            <pre key={index} className="jp-AidpAI-sent">
              <Marked text={part} marks={placeholders} />
            </pre>
          ))}
          <details>
            <summary>{trans.__('Exactly what would be sent')}</summary>
            <pre className="jp-AidpAI-sent">
              <Marked
                text={JSON.stringify(body, null, 2)}
                marks={placeholders}
              />
            </pre>
          </details>
        </>
      )}
    </div>
  );
}

function Marked(props: {
  readonly text: string;
  readonly marks: readonly string[];
}): React.ReactElement {
  return (
    <>
      {marked(props.text, props.marks).map(({ text, isMark }, index) =>
        isMark ? <mark key={index}>{text}</mark> : text
      )}
    </>
  );
}
