import type { IMessageContent } from '@jupyter/chat';
import type { IRenderMime, IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';

/** What a message may hold beside Markdown. All else could fetch what it names, such as the data of a chart. */
const MIME_TYPES = new Set([
  'text/markdown',
  'text/plain',
  'text/html',
  'text/latex',
  'image/png',
  'image/jpeg',
  'image/gif',
  'application/vnd.jupyter.stdout',
  'application/vnd.jupyter.stderr',
  'application/vnd.jupyter.error'
]);
/** Elements that are there to fetch something. */
const FETCHERS =
  'audio,base,embed,frame,iframe,image,link,meta,object,picture,script,source,style,svg,track,video,input:not([type=checkbox])';
/** Attributes that make a browser fetch something, or tell someone of a click. */
const FETCHING = [
  'src',
  'srcset',
  'poster',
  'background',
  'data',
  'ping',
  'action',
  'formaction'
];
const COLOUR = /\b(?:rgba?|hsla?)\([\d\s.,%/]*\)/gi;
const MERMAID = /(`{3,}|~{3,})([ \t]*)mermaid/gi;

/** Whether a style names nothing to fetch: no functions but colours, no escapes. */
export function isPlainStyle(style: string): boolean {
  return /^[\w\s:;#%.,!'"/+-]*$/.test(style.replace(COLOUR, ''));
}

/** Whether an image carries its own data. */
export function isData(url: string | null): url is string {
  return /^data:image\/[\w.+-]+[;,]/i.test(url ?? '');
}

/** A message whose sender's picture is not fetched from elsewhere: a chat is a file, which may come from anyone. */
export function withoutRemotePicture(
  message: IMessageContent,
  origin = location.origin
): IMessageContent {
  const { avatar_url, ...sender } = message.sender;
  const isOwn =
    !avatar_url ||
    isData(avatar_url) ||
    (URL.canParse(avatar_url, origin) &&
      new URL(avatar_url, origin).origin === origin);
  return isOwn ? message : { ...message, sender };
}

/** The host of an address, for people; empty where it has none. */
export function hostOf(url: string): string {
  try {
    return new URL(url.replace(/^\/\//, 'https://')).host;
  } catch {
    return '';
  }
}

/** Markdown whose diagrams are shown as their text: a diagram that is drawn may fetch the images that it names. */
export function withoutDiagrams(source: string): string {
  return source.replace(MERMAID, '$1$2text');
}

/** Renders messages as `registry` does, but nothing in them is fetched: what would be is named instead. */
export function fetchless(
  registry: IRenderMimeRegistry,
  trans: TranslationBundle
): IRenderMimeRegistry {
  const { markdownParser, sanitizer } = registry;
  const safe = registry.clone({
    sanitizer: {
      sanitize: (dirty, options) =>
        withoutFetching(sanitizer.sanitize(dirty, options), trans),
      getAutolink: () => sanitizer.getAutolink?.() ?? true,
      get allowNamedProperties() {
        return sanitizer.allowNamedProperties;
      },
      allowCommandLinker: false
    } satisfies IRenderMime.ISanitizer,
    ...(markdownParser && {
      markdownParser: {
        render: (source: string) =>
          markdownParser.render(withoutDiagrams(source))
      }
    })
  });
  for (const mimeType of safe.mimeTypes) {
    if (!MIME_TYPES.has(mimeType)) {
      safe.removeMimeType(mimeType);
    }
  }
  return safe;
}

/** Sanitised HTML without anything that a browser would fetch; its code can be reached with the keyboard. */
function withoutFetching(html: string, trans: TranslationBundle): string {
  // Nothing is fetched for a document that is not shown.
  const { body } = new DOMParser().parseFromString(html, 'text/html');
  for (const element of body.querySelectorAll('*')) {
    const source = element.getAttribute('src');
    const isImage = element.tagName === 'IMG';
    if (element.matches(FETCHERS) || (isImage && !isData(source))) {
      element.replaceWith(note(element, source, trans));
      continue;
    }
    for (const name of FETCHING) {
      if (!(isImage && name === 'src')) {
        element.removeAttribute(name);
      }
    }
    // Lab runs the command that an element names in such an attribute when it is clicked.
    for (const { name } of [...element.attributes]) {
      if (name.startsWith('data-') && name !== 'data-jupyter-id') {
        element.removeAttribute(name);
      }
    }
    if (!isPlainStyle(element.getAttribute('style') ?? '')) {
      element.removeAttribute('style');
    }
  }
  for (const code of body.querySelectorAll('pre')) {
    // A wide one is scrolled with the keyboard.
    code.tabIndex = 0;
  }
  return body.innerHTML;
}

/** What stands in the place of something that is not fetched. */
function note(
  element: Element,
  source: string | null,
  trans: TranslationBundle
): Node {
  const { ownerDocument } = element;
  const alt = element.getAttribute('alt')?.trim();
  const host = hostOf(source ?? '');
  if (!source && !alt) {
    return ownerDocument.createTextNode('');
  }
  const span = ownerDocument.createElement('span');
  span.className = 'jp-AidpUnfetched';
  span.title = trans.__(
    'Nothing in a message is loaded by itself, so that nobody learns that you read it.'
  );
  const what = alt || trans.__('image');
  span.append(
    host
      ? trans.__('[%1: not loaded from %2]', what, host)
      : trans.__('[%1: not loaded]', what)
  );
  return span;
}
