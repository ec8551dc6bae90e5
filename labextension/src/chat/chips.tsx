import type { IChatModel, IInputToolbarProps } from '@jupyter/chat';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';
import * as React from 'react';

import type { IContextItem } from '../ai/context/wire';
import { useSignals } from '../shared/hooks';
import type { ChatContext } from './context';
import { keyOf } from './context';

/** How many chips are shown before the rest is asked for. */
const FEW = 5;

/** What goes along with the next message, above the input, and what the chat is doing, for who cannot see it. */
class ContextBar extends ReactWidget {
  constructor(
    private _context: ChatContext,
    private _chat: IChatModel,
    private _trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-AidpContext');
  }

  protected override render(): React.ReactElement {
    const trans = this._trans;
    return (
      <>
        <Chips context={this._context} trans={trans} />
        <Progress chat={this._chat} trans={trans} />
      </>
    );
  }
}

/**
 * An item of the input's toolbar that shows nothing in it, and puts the bar above the input: the toolbar is all of the
 * input that others may add to.
 */
export function createContextItem(
  context: ChatContext,
  trans: TranslationBundle
): React.FunctionComponent<IInputToolbarProps> {
  return ({ chatModel, edit }) => {
    const place = React.useRef<HTMLSpanElement>(null);
    React.useLayoutEffect(() => {
      const box = place.current?.closest('.jp-chat-input-container');
      if (!box || !chatModel || edit) {
        return;
      }
      const host = document.createElement('div');
      box.prepend(host);
      const bar = new ContextBar(context, chatModel, trans);
      Widget.attach(bar, host);
      return () => {
        bar.dispose();
        host.remove();
      };
    }, [chatModel, edit]);
    return <span ref={place} hidden />;
  };
}

function Chips(props: {
  readonly context: ChatContext;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { context, trans } = props;
  useSignals(context.changed);
  const [showsAll, setShowsAll] = React.useState(false);
  const list = React.useRef<HTMLUListElement>(null);
  const { isOn, items, withheld, excluded } = context;
  const shown = showsAll ? items : items?.slice(0, FEW);
  const more = (items?.length ?? 0) - (shown?.length ?? 0);

  const remove = (item: IContextItem) => {
    const buttons = list.current?.querySelectorAll('button') ?? [];
    const at = [...buttons].findIndex(one => one === document.activeElement);
    context.exclude(item);
    // The keyboard stays where it is: on what takes the place.
    requestAnimationFrame(() => {
      const left = list.current?.querySelectorAll('button') ?? [];
      left[Math.min(Math.max(at, 0), left.length - 1)]?.focus();
    });
  };

  return (
    <div
      className="jp-AidpContext-row"
      role="group"
      aria-label={trans.__('What goes along with the next message')}
    >
      <button
        type="button"
        className="jp-AidpContext-button jp-AidpContext-switch"
        role="switch"
        aria-checked={isOn}
        title={
          isOn
            ? trans.__('Stop telling the model of this chat of your work')
            : trans.__('Tell the model of this chat of your work')
        }
        onClick={() => {
          context.isOn = !isOn;
        }}
      >
        {trans.__('Context')}
      </button>
      {!isOn && (
        <span className="jp-AidpContext-note">
          {trans.__('off: only your words')}
        </span>
      )}
      {isOn && items?.length === 0 && (
        <span className="jp-AidpContext-note">{trans.__('no context')}</span>
      )}
      {isOn && shown && shown.length > 0 && (
        <ul ref={list} aria-label={trans.__('Context')}>
          {shown.map(item => (
            <li key={keyOf(item)} className="jp-AidpChip" title={item.why}>
              <span className="jp-AidpChip-label">{item.label}</span>
              <button
                type="button"
                className="jp-AidpContext-button"
                aria-label={trans.__('Leave out %1', item.label)}
                title={trans.__('Leave out of this message')}
                onClick={() => remove(item)}
              >
                ×
              </button>
            </li>
          ))}
        </ul>
      )}
      {isOn && more > 0 && (
        <button
          type="button"
          className="jp-AidpContext-button"
          onClick={() => setShowsAll(true)}
        >
          {trans.__('+%1 more', more)}
        </button>
      )}
      {isOn && excluded > 0 && (
        <button
          type="button"
          className="jp-AidpContext-button"
          title={trans.__('Let it go along after all')}
          onClick={() => context.restore()}
        >
          {trans._n('%1 left out', '%1 left out', excluded)} ↺
        </button>
      )}
      {isOn && withheld.length > 0 && (
        <span
          className="jp-AidpContext-note"
          title={withheld
            .map(({ label, why }) => `${label}: ${why}`)
            .join('\n')}
        >
          {trans._n('%1 kept here', '%1 kept here', withheld.length)}
        </span>
      )}
    </div>
  );
}

/** Says that an answer is being written, and that it is there: once each, not at each word. */
function Progress(props: {
  readonly chat: IChatModel;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { chat, trans } = props;
  const [words, setWords] = React.useState('');
  React.useEffect(() => {
    let isWriting = false;
    const look = () => {
      const writes = chat.writers.some(({ user }) => user.bot);
      if (writes !== isWriting) {
        isWriting = writes;
        setWords(
          writes ? trans.__('The answer is coming') : trans.__('Answered')
        );
      }
    };
    chat.writersChanged?.connect(look);
    look();
    return () => {
      chat.writersChanged?.disconnect(look);
    };
  }, [chat, trans]);
  return (
    <span className="jp-AidpPanel-hidden" role="status">
      {words}
    </span>
  );
}
