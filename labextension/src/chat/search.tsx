import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';
import * as React from 'react';

import type { Format } from '../shared/format';
import type { PanelState } from '../shared/panel';
import { Panel } from '../shared/panel';
import type { AidpError } from '../shared/request';
import { asAidpError } from '../shared/request';
import type { IFoundChat } from './wire';

/** How long the words have to rest before they are looked for. */
const REST_MS = 200;

export interface ISearchOptions {
  readonly search: (
    words: string,
    signal: AbortSignal
  ) => Promise<readonly IFoundChat[]>;
  /** Show a chat, at one of its messages where one is named. */
  readonly open: (path: string, message?: string) => void;
  readonly format: Format;
  readonly trans: TranslationBundle;
}

/** Looks for words in the chats of the workspace, in a dialog that Escape closes. */
export function showChatSearch(options: ISearchOptions): void {
  const { trans } = options;
  // Lab's own dialogs take Enter for themselves.
  const dialog = document.createElement('dialog');
  dialog.className = 'jp-AidpChats jp-ThemedContainer';
  dialog.setAttribute('aria-label', trans.__('Search Chats'));
  document.body.append(dialog);
  const content = ReactWidget.create(
    <Search
      {...options}
      close={() => dialog.close()}
      open={(path, message) => {
        dialog.close();
        options.open(path, message);
      }}
    />
  );
  dialog.addEventListener('close', () => {
    content.dispose();
    dialog.remove();
  });
  dialog.addEventListener('click', ({ target }) => {
    // Beside it.
    if (target === dialog) {
      dialog.close();
    }
  });
  Widget.attach(content, dialog);
  dialog.showModal();
}

/** One line of the list: a chat, or a message of the chat above it. */
interface ILine {
  readonly key: string;
  readonly path: string;
  readonly message?: string;
  readonly head: React.ReactNode;
  readonly text: string;
}

function Search({
  search,
  close,
  open,
  format,
  trans
}: ISearchOptions & { readonly close: () => void }): React.ReactElement {
  const [words, setWords] = React.useState('');
  const [asked, ask] = React.useReducer((count: number) => count + 1, 0);
  const [chats, setChats] = React.useState<readonly IFoundChat[] | null>(null);
  const [error, setError] = React.useState<AidpError | null>(null);
  React.useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(
      () => {
        search(words.trim(), abort.signal).then(
          found => {
            setChats(found);
            setError(null);
          },
          reason => {
            if (!abort.signal.aborted) {
              setError(asAidpError(reason));
            }
          }
        );
      },
      chats ? REST_MS : 0
    );
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [words, asked]);
  const field = React.useRef<HTMLInputElement>(null);
  React.useLayoutEffect(() => {
    // The line that had the keyboard is not among what was found last.
    if (document.activeElement === document.body) {
      field.current?.focus();
    }
  }, [chats, error]);

  const lines = (chats ?? []).flatMap<ILine>(chat => [
    {
      key: chat.path,
      path: chat.path,
      head: chat.title || chat.path,
      text: [
        trans._n('%1 message', '%1 messages', chat.messages),
        format.ago(iso(chat.updated_at))
      ].join(' · ')
    },
    ...chat.matches.map(match => ({
      key: `${chat.path}#${match.message}`,
      path: chat.path,
      message: match.message,
      head: match.sender,
      text: match.text
    }))
  ]);
  const state: PanelState = error
    ? { kind: 'error', error, retry: ask }
    : !chats
      ? { kind: 'loading' }
      : lines.length === 0
        ? {
            kind: 'empty',
            text: words.trim()
              ? trans.__('No chat of this workspace has these words.')
              : trans.__('The chats of this workspace appear here.')
          }
        : { kind: 'full' };

  const moved = (event: React.KeyboardEvent<HTMLElement>) => {
    const stops = [
      ...event.currentTarget.querySelectorAll<HTMLElement>('input, li > button')
    ];
    const at = stops.findIndex(one => one === document.activeElement);
    const to: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1
    };
    if (event.key in to) {
      stops[Math.max(0, to[event.key]!)]?.focus();
      event.preventDefault();
    } else if (event.key === 'Escape') {
      // At once, also where a search field would be emptied first.
      close();
      event.preventDefault();
    } else if (event.key === 'Enter' && at === 0) {
      stops[1]?.click();
      event.preventDefault();
    }
  };

  return (
    <div className="jp-AidpChats-frame" onKeyDown={moved}>
      <input
        ref={field}
        type="search"
        autoFocus
        className="jp-AidpField"
        aria-label={trans.__('Words in a chat')}
        placeholder={trans.__('Words in a chat')}
        value={words}
        onChange={event => setWords(event.currentTarget.value)}
      />
      <div className="jp-AidpChats-found" aria-live="polite">
        <Panel state={state} trans={trans}>
          <ul aria-label={trans.__('Chats')}>
            {lines.map(({ key, path, message, head, text }) => (
              <li key={key} data-kind={message ? 'message' : 'chat'}>
                <button
                  type="button"
                  className="jp-AidpChats-line"
                  title={message ? text : path}
                  onClick={() => open(path, message)}
                >
                  <b className="jp-AidpChats-head">{head}</b>
                  <span className="jp-AidpChats-text">
                    <Marked text={text} words={message ? words : ''} />
                  </span>
                </button>
              </li>
            ))}
          </ul>
        </Panel>
      </div>
    </div>
  );
}

/** A text in which the words that were looked for stand out. */
function Marked(props: {
  readonly text: string;
  readonly words: string;
}): React.ReactElement {
  const words = props.words
    .split(/\s+/)
    .filter(Boolean)
    .map(word => word.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const parts =
    words.length > 0
      ? props.text.split(new RegExp(`(${words.join('|')})`, 'gi'))
      : [props.text];
  return (
    <>
      {parts.map((part, index) =>
        index % 2 ? <mark key={index}>{part}</mark> : part
      )}
    </>
  );
}

/** A time of the server's, in seconds since 1970 or already ISO 8601. */
function iso(time: string | number): string {
  return typeof time === 'number' ? new Date(time * 1000).toISOString() : time;
}
