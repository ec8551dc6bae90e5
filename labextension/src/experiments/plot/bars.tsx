import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { ILine } from './lines';
import { exactValue, finite, formatValue } from './numbers';
import { lookOf } from './palette';
import { useIsDark } from './theme';

/** What was measured once, as bars: a curve of one point says little. */
export function Bars(props: {
  readonly lines: readonly ILine[];
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { lines, trans } = props;
  const isDark = useIsDark();
  const values = lines.map(({ raw, y }) => (raw ?? y)[0] ?? null);
  const known = values.flatMap(one => finite(one) ?? []);
  const largest = Math.max(...known.map(Math.abs));
  if (lines.length === 1) {
    return (
      <p className="jp-AidpPlot-single" title={exactValue(values[0])}>
        {values[0] === null ? trans.__('not finite') : formatValue(values[0])}
      </p>
    );
  }
  return (
    <ul className="jp-AidpPlot-bars" tabIndex={0}>
      {lines.map(({ index, key, label }, order) => {
        const value = values[order] ?? null;
        const share = value === null ? 0 : Math.abs(value) / (largest || 1);
        return (
          <li key={key} title={`${label}: ${exactValue(value)}`}>
            <span className="jp-AidpPlot-barName">{label}</span>
            <b>
              {value === null ? trans.__('not finite') : formatValue(value)}
            </b>
            <span className="jp-AidpPlot-bar" aria-hidden>
              <span
                style={{
                  width: `${share * 100}%`,
                  background: lookOf(index, isDark).color
                }}
              />
            </span>
          </li>
        );
      })}
    </ul>
  );
}
