import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import type { Format } from '../shared/format';
import { useSignals } from '../shared/hooks';
import type { PanelState } from '../shared/panel';
import { Button, Panel } from '../shared/panel';
import { Prose } from '../shared/prose';
import { StatusItem, StatusPopup } from '../shared/status';
import type { IContextItem } from './context/wire';
import { Mark } from './mark';
import type { IAiModel } from './tokens';
import { CommandIDs } from './tokens';
import type { IProvider } from './wire';
import { place, providerState, sentence, status } from './wording';

interface IProps {
  readonly model: IAiModel;
  readonly commands: CommandRegistry;
  readonly format: Format;
  readonly trans: TranslationBundle;
}

/** The status bar's item: one line, and a popup with the rest. */
export class AiStatus extends StatusItem {
  constructor(private _props: IProps) {
    super();
  }

  protected override makePopup(): StatusPopup {
    void this._props.model.loadProviders();
    void this._props.model.usage.load();
    return new AiStatusPopup(this._props);
  }

  protected override render(): React.ReactElement {
    const { model, trans } = this._props;
    return (
      <UseSignal signal={model.changed}>
        {() => {
          const { symbol, text, title } = status(model, trans);
          return (
            <button
              type="button"
              className="jp-AidpStatus jp-StatusBar-TextItem"
              data-state={model.state}
              data-mode={model.mode}
              title={title}
              aria-haspopup="dialog"
              aria-expanded={this.isOpen}
              aria-label={trans.__('AI: %1', text)}
              onClick={() => this.toggle()}
            >
              <Mark of={symbol} />
              <span className="jp-AidpStatus-text">{text}</span>
            </button>
          );
        }}
      </UseSignal>
    );
  }
}

class AiStatusPopup extends StatusPopup {
  constructor(private _props: IProps) {
    super(_props.trans.__('AI status'));
  }

  protected override render(): React.ReactElement {
    const { model, commands } = this._props;
    return (
      <UseSignal signal={commands.commandChanged}>
        {() => (
          <UseSignal signal={model.changed}>
            {() => <Overview {...this._props} host={this.node} />}
          </UseSignal>
        )}
      </UseSignal>
    );
  }
}

function Overview(
  props: IProps & { readonly host: HTMLElement }
): React.ReactElement {
  const { model, commands, trans, host } = props;
  const frame: PanelState = model.modes.length
    ? { kind: 'full' }
    : model.error
      ? {
          kind: 'error',
          error: model.error,
          retry: () => void model.check()
        }
      : { kind: 'loading' };
  // The keyboard starts at the chosen mode, or at whatever there is instead.
  React.useEffect(() => {
    const first = host.querySelector<HTMLElement>('input:checked, button');
    (first ?? host).focus();
  }, [frame.kind]);

  return (
    <div className="jp-AidpStatus-overview">
      <Panel state={frame} trans={trans}>
        <Now {...props} />
        <Told {...props} />
        <More {...props} />
        <fieldset>
          <legend>{trans.__('Mode')}</legend>
          {model.modes.map(({ mode, label, description }) => (
            <label key={mode} className="jp-AidpStatus-choice">
              <input
                type="radio"
                name="aidp-mode"
                value={mode}
                checked={mode === model.mode}
                onChange={() =>
                  void commands.execute(CommandIDs.setMode, { mode })
                }
              />
              <span>
                {label}
                <small>{description}</small>
              </span>
            </label>
          ))}
        </fieldset>
        <fieldset>
          <label className="jp-AidpStatus-choice">
            <input
              type="checkbox"
              checked={commands.isToggled(CommandIDs.toggleCompletion)}
              onChange={() =>
                void commands.execute(CommandIDs.toggleCompletion)
              }
            />
            <span>
              {trans.__('Suggest while typing')}
              <small data-aidp="counts">
                {model.counts.shown === 0
                  ? trans.__('None shown yet.')
                  : trans._n(
                      '%2 of %1 suggestion accepted',
                      '%2 of %1 suggestions accepted',
                      model.counts.shown,
                      model.counts.accepted
                    )}
              </small>
            </span>
          </label>
          {commands.isEnabled(CommandIDs.toggleCompletionHere) && (
            <label className="jp-AidpStatus-choice">
              <input
                type="checkbox"
                checked={commands.isToggled(CommandIDs.toggleCompletionHere)}
                onChange={() =>
                  void commands.execute(CommandIDs.toggleCompletionHere)
                }
              />
              <span>{trans.__('Suggest in this document')}</span>
            </label>
          )}
        </fieldset>
        <Providers {...props} />
      </Panel>
    </div>
  );
}

/** Which model answers, and why; or what stands in the way. */
function Now({ model, trans }: IProps): React.ReactElement {
  const { error, decision, lastAnswer } = model;
  const last = decision?.offers.find(one => one.route === lastAnswer?.route);
  const isReachable = !!decision?.route;
  return (
    <section role="status">
      <h3>
        {isReachable
          ? `${decision.label} · ${place(decision.locality!, trans)}`
          : decision?.message}
      </h3>
      <p className={error ? 'jp-AidpStatus-problem' : undefined}>
        <Prose
          text={isReachable || error ? sentence(model) : decision?.next_step}
        />
      </p>
      {lastAnswer && lastAnswer.route !== decision?.route && (
        <p>
          {trans.__(
            'The last answer came from %1.',
            last?.label ?? lastAnswer.route
          )}{' '}
          {last?.message}
        </p>
      )}
    </section>
  );
}

/** What the model was told beside the cell for the last suggestion. */
function Told({ model, trans }: IProps): React.ReactElement | null {
  const { lastContext: context, counts } = model;
  if (counts.shown === 0) {
    return null;
  }
  if (!context) {
    return (
      <section className="jp-AidpStatus-told" data-aidp="context">
        <small>{trans.__('Context: the cells before')}</small>
      </section>
    );
  }
  const { items, withheld, secrets } = context;
  return (
    <section className="jp-AidpStatus-told" data-aidp="context">
      <details>
        <summary>
          {trans.__(
            'Context: %1',
            context.summary || trans.__('nothing beside the cell')
          )}
        </summary>
        <ItemList items={items} />
        {withheld.length > 0 && <h4>{trans.__('Withheld')}</h4>}
        <ItemList items={withheld} />
        {secrets > 0 && (
          <small>
            {trans._n('%1 secret replaced', '%1 secrets replaced', secrets)}
          </small>
        )}
        <small>
          {trans.__('What the last suggestion was made of, beside the cell.')}
        </small>
      </details>
    </section>
  );
}

function ItemList(props: {
  readonly items: readonly IContextItem[];
}): React.ReactElement {
  return (
    <ul>
      {props.items.map(({ kind, id, label, why }, index) => (
        <li key={`${index}:${kind}:${id}`} data-kind={kind}>
          <span title={label}>{label}</span>
          <small>{why}</small>
        </li>
      ))}
    </ul>
  );
}

function Providers({ model, trans }: IProps): React.ReactElement {
  const { providers } = model;
  const [isChecking, setChecking] = React.useState(false);
  const check = async () => {
    setChecking(true);
    await model.check();
    setChecking(false);
  };
  const isIdle = ({ state }: IProvider) =>
    state === 'unconfigured' || state === 'disabled';
  const others = providers?.filter(isIdle) ?? [];
  const listed = providers?.filter(one => !isIdle(one)) ?? [];
  const frame: PanelState =
    providers === null
      ? model.error
        ? { kind: 'error', error: model.error }
        : { kind: 'loading' }
      : providers.length === 0
        ? { kind: 'empty', text: trans.__('No provider is configured.') }
        : { kind: 'full' };
  return (
    <section>
      <header>
        <h4>{trans.__('Providers')}</h4>
        <Button
          className="jp-AidpStatus-check"
          disabled={isChecking}
          onClick={() => void check()}
        >
          {isChecking ? trans.__('Checking…') : trans.__('Check again')}
        </Button>
      </header>
      <Panel state={frame} trans={trans}>
        <List providers={listed} trans={trans} />
        {others.length > 0 && (
          <details open={!listed.some(({ state }) => state === 'ready')}>
            <summary>
              {trans._n('%1 not in use', '%1 not in use', others.length)}
            </summary>
            <List providers={others} trans={trans} />
          </details>
        )}
      </Panel>
    </section>
  );
}

/** What today cost, and the way to all the rest. */
function More({ model, commands, format, trans }: IProps): React.ReactElement {
  useSignals(model.usage.changed);
  const { value } = model.usage;
  return (
    <section className="jp-AidpStatus-more">
      <span data-aidp="cost">
        {value && trans.__('Today %1', format.money(value.today.cost_usd))}
      </span>
      {commands.hasCommand(CommandIDs.openPanel) && (
        <Button onClick={() => void commands.execute(CommandIDs.openPanel)}>
          {trans.__('Open AI panel')}
        </Button>
      )}
    </section>
  );
}

function List(props: {
  readonly providers: readonly IProvider[];
  readonly trans: TranslationBundle;
}): React.ReactElement {
  return (
    <ul>
      {props.providers.map(provider => (
        <li key={provider.name} data-state={provider.state}>
          <span className="jp-AidpStatus-dot" aria-hidden>
            {provider.state === 'ready' ? '●' : '○'}
          </span>
          <span>
            {provider.label}
            <span className="jp-AidpStatus-providerState">
              {providerState(provider, props.trans)}
            </span>
            <small>
              <Prose text={provider.next_step ?? provider.message} />
            </small>
          </span>
        </li>
      ))}
    </ul>
  );
}
