import type { IEditorLanguageRegistry } from '@jupyterlab/codemirror';

/**
 * The name of the language of a MIME type, in small letters: `python`, `markdown`, `text`; IPython's variants count as
 * what they are variants of. Empty where nobody knows it.
 */
export function languageName(
  languages: Pick<IEditorLanguageRegistry, 'findByMIME'> | null,
  mimeType: string
): string {
  const name = languages?.findByMIME(mimeType)?.name.toLowerCase();
  if (!name) {
    // Without a registry: `text/x-python`.
    return /^text\/(?:x-)?([a-z]+)$/.exec(mimeType)?.[1] ?? '';
  }
  return (
    { ipython: 'python', ipythongfm: 'markdown', none: 'text' }[name] ?? name
  );
}
