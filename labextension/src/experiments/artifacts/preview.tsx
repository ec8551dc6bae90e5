import * as React from 'react';

import type { AidpError } from '../../shared/request';
import { asAidpError } from '../../shared/request';
import { Panel } from '../../shared/panel';
import { CodeText } from '../run/codetext';
import { useRun, useRunContext } from '../run/context';
import type { IArtifact, IPreview } from '../wire';
import { NotebookText } from './notebook';

/** What is in a file, as far as it can be shown without running anything of it. */
export function Preview(props: {
  readonly file: IArtifact;
}): React.ReactElement {
  const { bytes, name, path } = props.file;
  const { api, format, trans } = useRunContext();
  const { id } = useRun();
  const [said, setSaid] = React.useState<IPreview | AidpError | null>(null);
  const [turn, again] = React.useReducer((count: number) => count + 1, 0);
  React.useEffect(() => {
    const abort = new AbortController();
    setSaid(null);
    api.preview(id, path, abort.signal).then(
      preview => !abort.signal.aborted && setSaid(preview),
      (reason: unknown) => !abort.signal.aborted && setSaid(asAidpError(reason))
    );
    return () => abort.abort();
  }, [id, path, turn]);
  return (
    <section aria-label={trans.__('Preview of %1', name)}>
      <div className="jp-AidpRun-bar">
        <h3 title={path}>{name}</h3>
        {bytes !== null && <small>{format.bytes(bytes)}</small>}
        <a
          className="jp-AidpRun-link"
          href={api.rawUrl(id, path, true)}
          download={name}
        >
          {trans.__('Download')}
        </a>
      </div>
      {said === null ? (
        <Panel state={{ kind: 'loading' }} trans={trans} />
      ) : 'kind' in said ? (
        <Shown preview={said} name={name} />
      ) : (
        <Panel
          state={{ kind: 'error', error: said, retry: again }}
          trans={trans}
        />
      )}
    </section>
  );
}

function Shown(props: {
  readonly preview: IPreview;
  readonly name: string;
}): React.ReactElement {
  const { preview, name } = props;
  const context = useRunContext();
  const { api, trans } = context;
  const { id } = useRun();
  const { is_cut, kind, mime, path, text } = preview;
  const url = api.rawUrl(id, path);
  const cut = is_cut && (
    <p className="jp-AidpRun-quiet">
      {trans.__('Only its beginning is shown: download it to have all of it.')}
    </p>
  );
  switch (kind) {
    case 'image':
      return <Image url={url} name={name} />;
    case 'table':
      return (
        <>
          <Rows preview={preview} name={name} />
          {cut}
        </>
      );
    case 'text':
    case 'json':
      return (
        <>
          <CodeText
            text={text ?? ''}
            label={name}
            services={context}
            mimeType={kind === 'json' ? 'application/json' : mime}
          />
          {cut}
        </>
      );
    case 'notebook':
      return (
        <>
          <NotebookText text={text ?? ''} />
          {cut}
        </>
      );
    case 'html':
      // Not as one of this page's own: what it runs can reach nothing of Lab's.
      return (
        <iframe
          className="jp-AidpArtifacts-frame"
          title={name}
          src={url}
          sandbox="allow-scripts"
          referrerPolicy="no-referrer"
        />
      );
    case 'audio':
      return (
        <audio
          className="jp-AidpArtifacts-sound"
          controls
          preload="metadata"
          src={url}
          aria-label={name}
        />
      );
    case 'video':
      return (
        <video
          className="jp-AidpArtifacts-picture"
          controls
          preload="metadata"
          src={url}
          aria-label={name}
        />
      );
    case 'none':
      return (
        <p className="jp-AidpRun-quiet">
          {preview.why ?? trans.__('This kind of file is not shown here.')}
        </p>
      );
  }
}

function Image(props: {
  readonly url: string;
  readonly name: string;
}): React.ReactElement {
  const { trans } = useRunContext();
  const [isBroken, setBroken] = React.useState(false);
  return isBroken ? (
    <p className="jp-AidpRun-quiet" role="alert">
      {trans.__('This picture cannot be shown: it may be damaged.')}
    </p>
  ) : (
    <img
      className="jp-AidpArtifacts-picture"
      src={props.url}
      alt={props.name}
      onError={() => setBroken(true)}
    />
  );
}

function Rows(props: {
  readonly preview: IPreview;
  readonly name: string;
}): React.ReactElement {
  const { columns, rows, total_rows } = props.preview;
  const { trans } = useRunContext();
  const shown = rows ?? [];
  return (
    <>
      <div
        className="jp-AidpPlot-table"
        role="region"
        aria-label={props.name}
        tabIndex={0}
      >
        <table>
          <thead>
            <tr>
              {(columns ?? []).map((column, index) => (
                <th key={index} scope="col" title={column}>
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((row, index) => (
              <tr key={index}>
                {row.map((cell, at) => (
                  <td key={at} title={String(cell ?? '')}>
                    {cell}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {typeof total_rows === 'number' && total_rows > shown.length && (
        <p className="jp-AidpRun-quiet">
          {trans.__('%1 of %2 rows', shown.length, total_rows)}
        </p>
      )}
    </>
  );
}
