import * as React from 'react';

import { Button } from '../../shared/panel';
import { capabilityName } from '../wording';
import type { IModelInfo, IPrice } from '../wire';
import { usePanel } from './context';

/** How many are listed without asking for more. */
const FEW = 12;

/** What a provider has: which models, how they are doing, what they can do and what they cost. */
export function Models(props: {
  readonly models: readonly IModelInfo[];
}): React.ReactElement {
  const { trans } = usePanel();
  const { models } = props;
  const [filter, setFilter] = React.useState('');
  const [isWhole, setWhole] = React.useState(false);
  const wanted = filter.trim().toLowerCase();
  const found = models.filter(
    ({ id, label, capabilities }) =>
      !wanted ||
      [id, label, ...capabilities].some(text =>
        text.toLowerCase().includes(wanted)
      )
  );
  const listed = isWhole ? found : found.slice(0, FEW);
  const rest = found.length - listed.length;
  return (
    <>
      {models.length > FEW && (
        <input
          className="jp-AidpField"
          type="search"
          value={filter}
          aria-label={trans.__('Filter models')}
          placeholder={trans.__('Filter %1 models', models.length)}
          onChange={event => setFilter(event.currentTarget.value)}
        />
      )}
      <ul className="jp-AidpAI-models" aria-label={trans.__('Models')}>
        {listed.map(model => (
          <Model key={model.route} model={model} />
        ))}
      </ul>
      {found.length === 0 && <p>{trans.__('No model is called that.')}</p>}
      {rest > 0 && (
        <Button onClick={() => setWhole(true)}>
          {trans._n('Show %1 more', 'Show %1 more', rest)}
        </Button>
      )}
    </>
  );
}

function Model({ model }: { readonly model: IModelInfo }): React.ReactElement {
  const { format, trans } = usePanel();
  const { label, route, capabilities, context_length, latency_ms } = model;
  const isCloud = model.locality === 'cloud';
  const facts = [
    ...capabilities.map(one => capabilityName(one, trans)),
    context_length && trans.__('reads %1', format.context(context_length))
  ];
  const title = [
    route,
    context_length &&
      trans.__('Reads %1 tokens', format.integer(context_length)),
    latency_ms !== null &&
      trans.__('First word after %1', format.duration(latency_ms))
  ];
  return (
    <li
      data-state={model.state}
      data-health={model.health}
      title={title.filter(Boolean).join('\n')}
    >
      <span className="jp-AidpFolds-name">{label}</span>
      <State model={model} />
      <small className={isCloud ? undefined : 'jp-AidpAI-detail'}>
        {facts.filter(Boolean).join(' · ')}
      </small>
      {isCloud && <Price price={model.price} />}
    </li>
  );
}

/** How a model is doing, in a word. */
function State({ model }: { readonly model: IModelInfo }): React.ReactElement {
  const { clock, format, trans } = usePanel();
  const { state, loading_since, health, health_until, locality } = model;
  const words = React.useSyncExternalStore(clock.subscribe, () => {
    if (state === 'loading') {
      return loading_since
        ? trans.__('loading, %1', format.ago(loading_since))
        : trans.__('loading');
    }
    switch (health) {
      case 'failing':
        return trans.__('failing');
      case 'cooling':
        return health_until
          ? trans.__('resting, %1', format.until(health_until))
          : trans.__('resting');
      case 'ok':
        break;
    }
    return state === 'loaded'
      ? trans.__('loaded')
      : state === 'installed'
        ? trans.__('installed')
        : locality === 'cloud'
          ? '' // which it is, as long as its provider is ready
          : trans.__('available');
  });
  const title = [
    loading_since && trans.__('Since %1', format.absolute(loading_since)),
    health === 'cooling' &&
      trans.__('It failed: other models come first for a while.'),
    health === 'failing' && trans.__('Its last calls failed.'),
    health_until && trans.__('Until %1', format.absolute(health_until))
  ].filter(Boolean);
  return (
    <span
      className="jp-AidpFolds-note"
      title={title.length > 0 ? title.join('\n') : undefined}
    >
      {words}
    </span>
  );
}

function Price({
  price
}: {
  readonly price: IPrice | null;
}): React.ReactElement {
  const { format, trans } = usePanel();
  if (!price) {
    return (
      <small className="jp-AidpAI-price">{trans.__('price not known')}</small>
    );
  }
  const { input, output, is_estimated } = price;
  const [reading, writing] = [format.money(input), format.money(output)];
  return (
    <small
      className="jp-AidpAI-price"
      title={[
        trans.__(
          'For a million tokens: %1 to read, %2 to write',
          reading,
          writing
        ),
        is_estimated && trans.__('Estimated: it is not in the price list.')
      ]
        .filter(Boolean)
        .join('\n')}
    >
      {is_estimated ? '≈ ' : ''}
      {`${reading} / ${writing}`}
    </small>
  );
}
