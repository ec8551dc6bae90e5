import * as React from 'react';

import type { IStatus } from './wording';

/** The status in one sign. Drawn, because few fonts have the second one. */
export function Mark(props: {
  readonly of: IStatus['symbol'];
}): React.ReactElement {
  return (
    <svg
      className="jp-AidpMark"
      viewBox="0 0 10 10"
      width="10"
      height="10"
      aria-hidden
    >
      {props.of === '◆' ? (
        <path d="M5 0l4 5-4 5-4-5z" fill="currentColor" />
      ) : (
        <path
          d="M1.8 1.8l6.4 6.4M5 .7a4.3 4.3 0 1 0 0 8.6a4.3 4.3 0 1 0 0-8.6z"
          fill="none"
          stroke="currentColor"
          strokeWidth="1.4"
        />
      )}
    </svg>
  );
}
