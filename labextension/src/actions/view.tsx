import type { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import type { IEditorThemeRegistry } from '@jupyterlab/codemirror';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  caretDownEmptyThinIcon,
  caretUpEmptyThinIcon,
  closeIcon
} from '@jupyterlab/ui-components';
import * as React from 'react';

import type { IAiChat } from '../chat/tokens';
import { IconButton } from '../shared/controls';
import type { Format } from '../shared/format';
import { Button, Problem } from '../shared/panel';
import { Answer } from './answer';
import { Diff } from './change';
import { Foot } from './foot';
import type { ActionSession } from './session';
import { Tests } from './testview';
import { isModulePath, moduleFor } from './modules';
import { actionName, whereOf } from './wording';

/** What the frame needs of Lab. */
export interface IViewServices {
  readonly trans: TranslationBundle;
  readonly format: Format;
  /** Renders what a model says, without fetching anything; null where Lab renders nothing. */
  readonly rendermime: IRenderMimeRegistry | null;
  readonly languages: IEditorLanguageRegistry | null;
  readonly themes: IEditorThemeRegistry | null;
  readonly chat: IAiChat | null;
  readonly openFile: (path: string) => void;
  readonly askInChat: (session: ActionSession) => void;
}

export interface IViewProps {
  readonly session: ActionSession;
  readonly services: IViewServices;
}

/** One action, whatever its phase. */
export function ActionView(
  props: IViewProps & {
    /** It was opened just now: who opened it wants to go there. */
    readonly isNew: boolean;
  }
): React.ReactElement {
  const { session, services } = props;
  const { trans } = services;
  const { phase, proposal, review } = session;
  const root = React.useRef<HTMLElement>(null);
  // Someone who was here when a button went away is still here.
  const isHere = React.useRef(props.isNew);
  React.useEffect(() => {
    const frame = root.current!;
    if (isHere.current && !frame.contains(document.activeElement)) {
      const first = frame.querySelector<HTMLElement>('[data-first]') ?? frame;
      first.focus({ preventScroll: true });
    }
    if (props.isNew || isSeen(frame)) {
      frame.scrollIntoView({ block: 'nearest' });
    }
  }, [phase]);

  const title = proposal?.title ?? actionName(session.options.action, trans);
  const isMany = phase === 'reviewing' && review !== null && review.count > 1;
  return (
    <section
      ref={root}
      className="jp-AidpAction-frame"
      aria-label={title}
      data-phase={phase}
      tabIndex={-1}
      onFocus={() => (isHere.current = true)}
      onBlur={({ relatedTarget }) => {
        const isInside = root.current?.contains(relatedTarget);
        isHere.current = !relatedTarget || isInside === true;
      }}
    >
      <header className="jp-AidpAction-head">
        <span className="jp-AidpAction-title" title={title}>
          {title}
        </span>
        {isMany && (
          <span className="jp-AidpAction-steps">
            {trans.__('%1 of %2', review.current + 1, review.count)}
            <IconButton
              icon={caretUpEmptyThinIcon}
              label={trans.__('Previous change (Alt+↑)')}
              onClick={() => session.move(-1)}
            />
            <IconButton
              icon={caretDownEmptyThinIcon}
              label={trans.__('Next change (Alt+↓)')}
              onClick={() => session.move(1)}
            />
          </span>
        )}
        {phase !== 'reviewing' && phase !== 'writing' && (
          <IconButton
            icon={closeIcon}
            label={trans.__('Close (Esc)')}
            onClick={() => session.close()}
          />
        )}
      </header>
      <Body {...props} />
      <span className="jp-AidpPanel-hidden" role="status">
        {announcement(session, trans)}
      </span>
      <Foot session={session} services={services} />
    </section>
  );
}

function Body(props: IViewProps): React.ReactElement {
  switch (props.session.phase) {
    case 'instructing':
      return <Instructing {...props} />;
    case 'asking':
      return <Asking {...props} />;
    case 'reviewing':
    case 'writing':
      return <Reviewing {...props} />;
    case 'answered':
      return <Answered {...props} />;
    case 'applied':
      return <Tests {...props} />;
    case 'failed':
      return <Failed {...props} />;
  }
}

function Instructing({ session, services }: IViewProps): React.ReactElement {
  const { trans } = services;
  const { action, cell, site } = session.options;
  const isModule = action === 'module';
  const [words, setWords] = React.useState(
    session.words || (isModule ? moduleFor(site, cell) : '')
  );
  const label = isModule
    ? trans.__('New file')
    : trans.__('What should change?');
  const isFit = isModule ? isModulePath(words.trim()) : words.trim() !== '';
  const ask = () => {
    if (isFit) {
      void session.ask(words.trim());
    }
  };
  return (
    <div className="jp-AidpAction-instruction">
      <input
        className="jp-AidpField"
        data-first
        aria-label={label}
        placeholder={label}
        title={
          isModule ? trans.__('A path below the top folder, ending in .py') : ''
        }
        aria-invalid={!isFit && words.trim() !== ''}
        maxLength={20_000}
        value={words}
        onChange={({ currentTarget: { value } }) => {
          session.words = value;
          setWords(value);
        }}
        onKeyDown={event => {
          if (event.key === 'Enter' && !event.nativeEvent.isComposing) {
            event.preventDefault();
            ask();
          }
        }}
      />
      <Button disabled={!isFit} onClick={ask}>
        {isModule ? trans.__('Convert') : trans.__('Ask')}
      </Button>
    </div>
  );
}

function Asking({ session, services }: IViewProps): React.ReactElement {
  const { trans, format } = services;
  const [, tick] = React.useReducer((count: number) => count + 1, 0);
  React.useEffect(() => {
    const timer = setInterval(tick, 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <>
      {session.text && <Answer text={session.text} services={services} />}
      {session.code && <Growing text={session.code} />}
      <div className="jp-AidpAction-buttons">
        <Button data-first onClick={() => session.stop()}>
          {trans.__('Stop')} <Key sign="Esc" />
        </Button>
        <span className="jp-AidpAction-progress">
          {session.code || session.text
            ? trans.__('answering…')
            : trans.__('asking…')}{' '}
          {session.tookMs >= 1000 &&
            format.duration(Math.floor(session.tookMs / 1000) * 1000)}
        </span>
      </div>
    </>
  );
}

/** What comes in, its newest lines in view. */
function Growing({ text }: { readonly text: string }): React.ReactElement {
  const box = React.useRef<HTMLPreElement>(null);
  React.useLayoutEffect(() => {
    box.current!.scrollTop = box.current!.scrollHeight;
  }, [text]);
  // Of a long one the end is enough.
  return (
    <pre ref={box} className="jp-AidpAction-growing" aria-hidden>
      {text.slice(-4000)}
    </pre>
  );
}

function Reviewing(props: IViewProps): React.ReactElement {
  const { session, services } = props;
  const { trans } = services;
  const review = session.review!;
  const { part } = review;
  const { cell, site } = session.options;
  // Below another cell than the one that it is about.
  const isElsewhere = site.canRun && part.change.cell !== cell;
  const isMany = review.count > 1;
  const isPartly = review.open < review.count;
  const isBusy = session.phase === 'writing';
  const decide = (...args: Parameters<typeof session.decide>) => ({
    disabled: isBusy,
    onClick: () => void session.decide(...args)
  });
  const why = [session.proposal!.why, part.change.why];
  return (
    <>
      {(review.parts.length > 1 ||
        part.change.kind !== 'replace' ||
        isElsewhere) && (
        <p className="jp-AidpAction-where">{whereOf(part, site, trans)}</p>
      )}
      <Diff {...props} />
      {why
        .filter((text, index) => text && why.indexOf(text) === index)
        .map(text => (
          <Answer key={text} text={text} services={services} />
        ))}
      <div className="jp-AidpAction-buttons">
        <Button
          data-first
          className="jp-mod-accept"
          aria-keyshortcuts="Enter"
          {...decide('accepted')}
          disabled={isBusy || review.hunk.verdict !== 'open'}
        >
          {trans.__('Accept')} <Key sign="⏎" />
        </Button>
        <Button
          aria-keyshortcuts="Escape"
          {...decide('rejected')}
          disabled={isBusy || review.hunk.verdict !== 'open'}
        >
          {trans.__('Reject')} <Key sign="Esc" />
        </Button>
        {isMany && (
          <>
            <Button
              aria-keyshortcuts="Alt+Enter"
              title={trans.__('Alt+Enter')}
              {...decide('accepted', 'rest')}
            >
              {isPartly ? trans.__('Accept rest') : trans.__('Accept all')}
            </Button>
            <Button {...decide('rejected', 'rest')}>
              {isPartly ? trans.__('Reject rest') : trans.__('Reject all')}
            </Button>
          </>
        )}
        {site.canRun && changesCode(session) && (
          <Button
            aria-keyshortcuts="Shift+Enter"
            {...decide('accepted', 'rest', true)}
          >
            {isMany && !isPartly
              ? trans.__('Accept all & run')
              : isMany
                ? trans.__('Accept rest & run')
                : trans.__('Accept & run')}{' '}
            <Key sign="⇧⏎" />
          </Button>
        )}
      </div>
    </>
  );
}

function Answered(props: IViewProps): React.ReactElement {
  const { session, services } = props;
  const { chat, trans } = services;
  const { text, code, isStopped } = session;
  const [isCopied, setCopied] = React.useState(false);
  return (
    <>
      {text && <Answer text={text} services={services} />}
      {code && <Growing text={code} />}
      {isStopped && (
        <p className="jp-AidpAction-where">{trans.__('Stopped.')}</p>
      )}
      {!isStopped && !text && (
        <p className="jp-AidpAction-where">
          {trans.__('The model said nothing.')}
        </p>
      )}
      <div className="jp-AidpAction-buttons">
        {text && (
          <Button
            data-first
            onClick={() =>
              void navigator.clipboard
                .writeText(text)
                .then(() => setCopied(true))
            }
          >
            {isCopied ? trans.__('Copied') : trans.__('Copy')}
          </Button>
        )}
        {text && chat?.isAvailable && (
          <Button onClick={() => services.askInChat(session)}>
            {trans.__('Ask in chat')}
          </Button>
        )}
        {(isStopped || !text) && (
          <Button
            data-first={text ? undefined : true}
            onClick={() => session.retry()}
          >
            {trans.__('Try again')}
          </Button>
        )}
      </div>
    </>
  );
}

function Failed({ session, services }: IViewProps): React.ReactElement {
  const { trans } = services;
  const { text } = session;
  const error = session.error!;
  return (
    <>
      {text && <Answer text={text} services={services} />}
      <Problem message={error.message} nextStep={error.nextStep} />
      <div className="jp-AidpAction-buttons">
        <Button data-first onClick={() => session.retry()}>
          {trans.__('Try again')}
        </Button>
      </div>
    </>
  );
}

/** Whether some of it is in the window. */
export function isSeen(element: Element): boolean {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < window.innerHeight;
}

/** The key that does what a button does, for who sees it. */
export function Key({ sign }: { readonly sign: string }): React.ReactElement {
  return <kbd aria-hidden>{sign}</kbd>;
}

/** Whether there is something to run in what would be accepted. */
function changesCode({ review, options }: ActionSession): boolean {
  return review!.parts.some(({ change: { kind, cell, cell_type } }) =>
    kind === 'replace'
      ? options.site.isCode(cell)
      : kind !== 'create_file' && cell_type === 'code'
  );
}

function announcement(
  { phase, review, options }: ActionSession,
  trans: IViewServices['trans']
): string {
  switch (phase) {
    case 'asking':
      return trans.__('Asking the model…');
    case 'reviewing':
      return [
        trans._n(
          '%1 change is proposed.',
          '%1 changes are proposed.',
          review!.count
        ),
        trans.__('Enter accepts, Escape rejects.')
      ].join(' ');
    case 'answered':
      return trans.__('The answer is complete.');
    case 'applied':
      return trans.__('Accepted.');
    case 'instructing':
      return actionName(options.action, trans);
    case 'writing':
    case 'failed':
      return '';
  }
}
