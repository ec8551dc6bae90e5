import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { Axis } from '../wire';
import type { ILine } from './lines';
import { aligned } from './lines';
import { exactValue, formatValue } from './numbers';
import { wordsForX } from './tooltip';

const ROWS = 200;

/** A chart's numbers as a table: for who cannot see it, and for who wants to read them. */
export function DataTable(props: {
  readonly label: string;
  readonly lines: readonly ILine[];
  readonly axis: Axis;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { label, lines, axis, trans } = props;
  const [count, setCount] = React.useState(ROWS);
  const plain = lines.map(line => ({
    ...line,
    raw: null,
    min: null,
    max: null
  }));
  const { x, columns } = aligned(plain);
  return (
    <div
      className="jp-AidpPlot-table"
      role="region"
      aria-label={label}
      tabIndex={0}
    >
      <table>
        <caption className="jp-AidpPanel-hidden">{label}</caption>
        <thead>
          <tr>
            <th scope="col">
              {axis === 'step' ? trans.__('step') : trans.__('time')}
            </th>
            {lines.map(({ key, label: name }) => (
              <th scope="col" key={key} title={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {x.slice(0, count).map((value, row) => (
            <tr key={row}>
              <th scope="row">
                {axis === 'step' ? value : wordsForX(value, axis)}
              </th>
              {columns.map((column, index) => {
                const said = column[row];
                return (
                  <td key={index} title={exactValue(said)}>
                    {said === undefined
                      ? ''
                      : said === null
                        ? trans.__('not finite')
                        : formatValue(said)}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
      {count < x.length && (
        <button
          type="button"
          className="jp-AidpButton"
          onClick={() => setCount(count + 5 * ROWS)}
        >
          {trans.__('Show more of the %1 rows', x.length)}
        </button>
      )}
    </div>
  );
}
