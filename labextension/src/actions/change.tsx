import type { Extension } from '@codemirror/state';
import * as React from 'react';

import type { DiffView } from './diff';
import { loadMerge } from './merge';
import type { ActionSession } from './session';
import type { IViewProps, IViewServices } from './view';
import { isSeen } from './view';
import { whereOf } from './wording';

/** What the place that is looked at would change, in the text that it is in. */
export function Diff({ session, services }: IViewProps): React.ReactElement {
  const review = session.review!;
  const { part } = review;
  const shown = review.view(part);
  const host = React.useRef<HTMLDivElement>(null);
  const view = React.useRef<DiffView | null>(null);
  const latest = React.useRef(shown);
  latest.current = shown;
  const { cell, path } = part.change;
  const key = `${review.parts.indexOf(part)} ${cell} ${path}`;

  React.useEffect(() => {
    let isGone = false;
    void (async () => {
      const [{ DiffView }, language] = await Promise.all([
        loadMerge(),
        languageOf(session, services)
      ]);
      if (!isGone) {
        const { themes, trans } = services;
        const { site } = session.options;
        view.current = new DiffView(host.current!, {
          label: trans.__('Proposed change: %1', whereOf(part, site, trans)),
          language,
          theme: themes?.getTheme(site.theme || 'jupyter') ?? [],
          onPick: line => session.pick(line)
        });
        view.current.show(latest.current);
        // Its height is known once it is drawn.
        requestAnimationFrame(() => {
          const frame = host.current?.closest('section');
          if (frame && isSeen(frame)) {
            frame.scrollIntoView({ block: 'nearest' });
          }
        });
      }
    })();
    return () => {
      isGone = true;
      view.current?.dispose();
      view.current = null;
    };
  }, [key]);
  const { before, after, from, to } = shown;
  React.useEffect(
    () => view.current?.show(latest.current),
    [before, after, from, to]
  );
  return (
    <div
      ref={host}
      className="jp-AidpAction-diff"
      data-is-new={before === ''}
    />
  );
}

/** The colours of a language; none where Lab does not know it. */
async function languageOf(
  { options, review }: ActionSession,
  { languages }: IViewServices
): Promise<Extension> {
  const { kind, cell, cell_type, path } = review!.part.change;
  const { site } = options;
  const found =
    kind === 'create_file'
      ? languages?.findByFileName(path)
      : kind === 'replace'
        ? languages?.findByMIME(site.mimeType(cell))
        : languages?.findByMIME(
            cell_type === 'markdown' ? 'text/x-ipythongfm' : site.codeMimeType
          );
  try {
    const language = found && (await languages!.getLanguage(found));
    return language?.support ?? [];
  } catch {
    return [];
  }
}
