import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { kindOf } from './lines';

const LINES = 600;

/** A unified diff: what came and what went is told by colour and by its sign. */
export function DiffText(props: {
  readonly text: string;
  readonly label: string;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { text, label, trans } = props;
  const [count, setCount] = React.useState(LINES);
  const lines = React.useMemo(
    () => text.replace(/\n$/, '').split('\n'),
    [text]
  );
  return (
    <>
      <pre
        className="jp-AidpDiffText"
        aria-label={label}
        role="group"
        tabIndex={0}
      >
        {lines.slice(0, count).map((line, index) => (
          <span key={index} data-kind={kindOf(line)}>
            {line.slice(0, 5000)}
            {'\n'}
          </span>
        ))}
      </pre>
      {lines.length > count && (
        <button
          type="button"
          className="jp-AidpButton"
          onClick={() => setCount(count + 5 * LINES)}
        >
          {trans.__('Show more: %1 of %2 lines', count, lines.length)}
        </button>
      )}
    </>
  );
}
