import { EditorState } from '@codemirror/state';
import type { Extension } from '@codemirror/state';
import { EditorView } from '@codemirror/view';
import * as React from 'react';

import type { IExperimentServices } from './services';

const PYTHON = 'text/x-ipython';

/** Code in an editor's colours, which can be read and copied but not changed. */
export function CodeText(props: {
  readonly text: string;
  readonly label: string;
  readonly services: Pick<IExperimentServices, 'languages' | 'themes'>;
  /** Of which language it is; Python by default. */
  readonly mimeType?: string;
}): React.ReactElement {
  const { text, label, services, mimeType = PYTHON } = props;
  const host = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => {
    let isGone = false;
    let view: EditorView | null = null;
    void languageFor(services, mimeType).then(language => {
      if (!isGone) {
        view = new EditorView({
          parent: host.current!,
          state: EditorState.create({
            doc: text,
            extensions: [
              services.themes?.getTheme('jupyter') ?? [],
              language,
              EditorState.readOnly.of(true),
              EditorView.editable.of(false),
              EditorView.lineWrapping,
              EditorView.contentAttributes.of({
                'aria-label': label,
                'aria-multiline': 'true',
                'aria-readonly': 'true',
                'data-lm-suppress-shortcuts': 'true',
                role: 'textbox',
                tabindex: '0'
              })
            ]
          })
        });
      }
    });
    return () => {
      isGone = true;
      view?.destroy();
    };
  }, [text, mimeType]);
  return <div className="jp-AidpRun-source" ref={host} />;
}

/** The colours of a language; none where Lab does not know it. */
async function languageFor(
  { languages }: Pick<IExperimentServices, 'languages'>,
  mimeType: string
): Promise<Extension> {
  const found = languages?.findByMIME(mimeType);
  try {
    const language = found && (await languages!.getLanguage(found));
    return language?.support ?? [];
  } catch {
    return [];
  }
}
