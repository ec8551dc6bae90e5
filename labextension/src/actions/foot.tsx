import * as React from 'react';

import { Prose } from '../shared/prose';
import type { IViewProps } from './view';

/** One quiet line: what the model was told, which one it was, how long it took and what it cost. */
export function Foot({
  session,
  services
}: IViewProps): React.ReactElement | null {
  const { trans, format } = services;
  const { context, done, phase } = session;
  if (phase === 'instructing' || (!context && !done)) {
    return null;
  }
  const by = done && [
    done.route,
    done.locality === 'local'
      ? trans.__('local')
      : done.locality === 'cloud'
        ? trans.__('cloud')
        : '',
    format.duration(session.tookMs),
    done.cost_usd ? format.money(done.cost_usd) : ''
  ];
  return (
    <footer className="jp-AidpAction-foot">
      {context && (
        <details>
          <summary>
            {trans.__('context: %1', context.summary || trans.__('nothing'))}
          </summary>
          <ul>
            {context.items.map(({ kind, id, label, why }) => (
              <li key={`${kind} ${id}`}>
                <span>{label}</span> <Prose text={why} />
              </li>
            ))}
            {context.withheld.map(({ kind, id, label, why }) => (
              <li key={`withheld ${kind} ${id}`}>
                <span>{trans.__('not told: %1', label)}</span>{' '}
                <Prose text={why} />
              </li>
            ))}
          </ul>
        </details>
      )}
      {by && (
        <span className="jp-AidpAction-by" title={done.reason}>
          {by.filter(Boolean).join(' · ')}
        </span>
      )}
    </footer>
  );
}
