import * as React from 'react';

import { halves, visible } from '../wording';

/** A path on one line: where there is little room its middle gives way, and the whole is in the tooltip. */
export function Path(props: {
  readonly path: string;
  readonly title?: string;
}): React.ReactElement {
  const { path, title } = props;
  const [head, tail] = halves(path);
  return (
    <span className="jp-AidpPath" title={title ?? visible(path)}>
      {head && <span className="jp-AidpPath-head">{head}</span>}
      <span className="jp-AidpPath-tail">{tail}</span>
    </span>
  );
}
