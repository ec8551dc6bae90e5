import * as React from 'react';

import { useSignals } from '../../shared/hooks';
import { Panel, Problem } from '../../shared/panel';
import { Section } from '../../shared/section';
import { CodeText } from './codetext';
import type { IRanCell } from './code';
import { PATCH_PATH, isShown } from './code';
import { useRun, useRunContext } from './context';
import { DiffText } from './difftext';

/** How many cells are drawn at once. */
const CELLS = 40;

/** The code as it ran: of the cell, what was not committed, and what ran before it. */
export function Code(): React.ReactElement {
  const context = useRunContext();
  const { format, model, prefix, trans } = context;
  const { lineage } = useRun();
  const { cells, patch } = model.code;
  useSignals(cells.changed, patch.changed);
  const [open, setOpen] = React.useState<ReadonlySet<string>>(
    new Set(['cell', 'patch'])
  );
  const isKept = lineage.captured !== null;
  const { patch_bytes, source } = lineage;
  React.useEffect(() => {
    if (isKept) {
      void cells.load();
    }
    if (isShown(patch_bytes) && patch.value === null) {
      void patch.load();
    }
  }, [isKept, patch_bytes]);
  const part = (
    id: string,
    title: string,
    summary: React.ReactNode,
    body: React.ReactNode
  ) => (
    <Section
      id={`${prefix}-code-${id}`}
      title={title}
      summary={summary}
      isOpen={open.has(id)}
      onToggle={isOpen =>
        setOpen(before => {
          const after = new Set(before);
          after[isOpen ? 'add' : 'delete'](id);
          return after;
        })
      }
    >
      {body}
    </Section>
  );
  if (source === null && !isKept && patch_bytes === null) {
    return (
      <div className="jp-AidpRun-empty">
        <p>
          {trans.__(
            'No code is kept of this run. Runs that are started in a notebook of this Lab bring the code of their cell along.'
          )}
        </p>
      </div>
    );
  }
  return (
    <div className="jp-AidpRun-code">
      {source !== null &&
        part(
          'cell',
          trans.__('The cell as it ran'),
          lineage.count !== null && `[${lineage.count}]`,
          <CodeText
            text={source}
            label={trans.__('The cell as it ran')}
            services={context}
          />
        )}
      {patch_bytes !== null &&
        patch_bytes > 0 &&
        part(
          'patch',
          trans.__('Not committed then'),
          format.bytes(patch_bytes),
          <Patch bytes={patch_bytes} />
        )}
      {isKept &&
        part(
          'before',
          trans.__('What the kernel ran up to it'),
          cells.value?.length,
          cells.error && !cells.value ? (
            <Problem
              message={cells.error.message}
              nextStep={cells.error.nextStep}
              action={{
                label: trans.__('Try again'),
                run: () => void cells.load()
              }}
            />
          ) : cells.value ? (
            <Before cells={cells.value} />
          ) : (
            <Panel state={{ kind: 'loading' }} trans={trans} />
          )
        )}
    </div>
  );
}

function Patch({ bytes }: { readonly bytes: number }): React.ReactElement {
  const { api, format, model, trans } = useRunContext();
  const { id } = useRun();
  const { patch } = model.code;
  const download = (
    <a
      className="jp-AidpRun-link"
      href={api.rawUrl(id, PATCH_PATH, true)}
      download
    >
      {trans.__('Download the diff')}
    </a>
  );
  if (!isShown(bytes)) {
    return (
      <p>
        {trans.__('It is too long to be shown here: %1.', format.bytes(bytes))}{' '}
        {download}
      </p>
    );
  }
  if (patch.value !== null) {
    return (
      <>
        <DiffText
          text={patch.value}
          label={trans.__('What was not committed')}
          trans={trans}
        />
        {download}
      </>
    );
  }
  return (
    <Panel
      state={
        patch.error
          ? {
              kind: 'error',
              error: patch.error,
              retry: () => void patch.load()
            }
          : { kind: 'loading' }
      }
      trans={trans}
    />
  );
}

function Before(props: {
  readonly cells: readonly IRanCell[];
}): React.ReactElement {
  const context = useRunContext();
  const { trans } = context;
  // The one nearest to the run is what matters most.
  const cells = [...props.cells].reverse();
  const [count, setCount] = React.useState(CELLS);
  return (
    <ol className="jp-AidpRun-cells">
      {cells.slice(0, count).map((cell, index) => (
        <li key={index}>
          <span className="jp-AidpRun-prompt" data-ok={cell.ok}>
            [{cell.count ?? ' '}]
            {cell.ok === false && <span title={trans.__('It failed')}> ✖</span>}
          </span>
          <CodeText
            text={cell.source}
            label={trans.__('Cell %1', cell.count ?? '')}
            services={context}
          />
        </li>
      ))}
      {cells.length > count && (
        <li>
          <button
            type="button"
            className="jp-AidpButton"
            onClick={() => setCount(count + CELLS)}
          >
            {trans.__('Show earlier ones: %1 more', cells.length - count)}
          </button>
        </li>
      )}
    </ol>
  );
}
