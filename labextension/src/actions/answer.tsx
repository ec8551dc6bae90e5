import type { IRenderMime } from '@jupyterlab/rendermime';
import { MimeModel } from '@jupyterlab/rendermime';
import { Widget } from '@lumino/widgets';
import * as React from 'react';

import type { IViewServices } from './view';

const MARKDOWN = 'text/markdown';
/** A growing text is drawn anew at most this often, and rests this many times as long as drawing took. */
const PAUSE_MS = 120;
const REST = 5;

/** What a model said, as Markdown: nothing in it runs, and nothing is fetched. */
export function Answer(props: {
  readonly text: string;
  readonly services: Pick<IViewServices, 'rendermime'>;
}): React.ReactElement {
  const { text, services } = props;
  const host = React.useRef<HTMLDivElement>(null);
  const drawing = React.useRef<Drawing | null>(null);
  // Before the element goes: Lumino takes a widget only out of what is on the page.
  React.useLayoutEffect(() => {
    const mine = (drawing.current = new Drawing(
      host.current!,
      services.rendermime
    ));
    return () => mine.dispose();
  }, []);
  React.useLayoutEffect(() => drawing.current!.show(text), [text]);
  return <div ref={host} className="jp-AidpAction-answer" />;
}

/** Draws a text that grows, without doing it for each word. */
class Drawing {
  constructor(
    private _host: HTMLElement,
    rendermime: IViewServices['rendermime']
  ) {
    if (rendermime?.mimeTypes.includes(MARKDOWN)) {
      this._renderer = rendermime.createRenderer(MARKDOWN);
      Widget.attach(this._renderer, _host);
    }
  }

  show(text: string): void {
    this._text = text;
    if (!this._isBusy) {
      void this._draw();
    }
  }

  dispose(): void {
    this._isDisposed = true;
    clearTimeout(this._timer);
    this._renderer?.dispose();
  }

  private async _draw(): Promise<void> {
    this._isBusy = true;
    const text = this._text;
    const began = performance.now();
    if (this._renderer) {
      try {
        await this._renderer.renderModel(
          new MimeModel({ data: { [MARKDOWN]: text } })
        );
        harden(this._host);
        reach(this._host);
      } catch {
        this._host.textContent = text;
      }
    } else {
      this._host.textContent = text;
    }
    const took = performance.now() - began;
    this._timer = setTimeout(
      () => {
        this._isBusy = false;
        if (!this._isDisposed && this._text !== text) {
          void this._draw();
        }
      },
      Math.max(PAUSE_MS, took * REST)
    );
  }

  private _isBusy = false;
  private _isDisposed = false;
  private _renderer: IRenderMime.IRenderer | null = null;
  private _text = '';
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

/** A long answer can be scrolled with the keyboard; as it grows, it stays in view for who has the keyboard there. */
function reach(host: HTMLElement): void {
  if (host.scrollHeight > host.clientHeight) {
    host.tabIndex = 0;
  }
  const frame = host.closest('section');
  if (frame?.contains(document.activeElement)) {
    frame.scrollIntoView({ block: 'nearest' });
  }
}

/** Links lead to the web in a tab of their own, or nowhere: none to this server, which would act on a click. */
function harden(host: HTMLElement): void {
  // A button could be tied to one of Lab's commands.
  for (const control of host.querySelectorAll(
    'button, input, select, textarea, [data-commandlinker-command]'
  )) {
    control.replaceWith(control.textContent ?? '');
  }
  for (const link of host.querySelectorAll('a')) {
    const isForeign =
      /^(https?|mailto):/i.test(link.getAttribute('href') ?? '') &&
      link.host !== window.location.host;
    if (isForeign) {
      link.target = '_blank';
      link.rel = 'noopener noreferrer';
      link.title = link.href;
    } else {
      link.removeAttribute('href');
    }
  }
}
