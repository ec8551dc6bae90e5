import * as React from 'react';

import { Answer } from '../../actions/answer';
import { CodeText } from '../run/codetext';
import { useRunContext } from '../run/context';
import { cellsIn } from './cells';

/** A notebook's cells and the text of their outputs; nothing in it runs. */
export function NotebookText({
  text
}: {
  readonly text: string;
}): React.ReactElement {
  const context = useRunContext();
  const cells = React.useMemo(() => cellsIn(text), [text]);
  if (!cells) {
    return (
      <CodeText
        text={text}
        label={context.trans.__('Notebook')}
        services={context}
        mimeType="application/json"
      />
    );
  }
  return (
    <div className="jp-AidpRun-cells">
      {cells.map(({ output, source, type }, index) =>
        type === 'markdown' ? (
          <Answer key={index} text={source} services={context} />
        ) : (
          <div key={index}>
            <CodeText
              text={source}
              label={context.trans.__('Cell %1', index + 1)}
              services={context}
            />
            {output && <pre className="jp-AidpArtifacts-output">{output}</pre>}
          </div>
        )
      )}
    </div>
  );
}
