import type { CodeMirrorEditor } from '@jupyterlab/codemirror';
import type { IDocumentWidget } from '@jupyterlab/docregistry';
import type { FileEditor } from '@jupyterlab/fileeditor';
import type { IDisposable } from '@lumino/disposable';
import { DisposableDelegate } from '@lumino/disposable';
import type { BoxLayout, Widget } from '@lumino/widgets';
import { BoxPanel } from '@lumino/widgets';

import { selectionOf } from './notebook';
import type { IReplacement, ISite, IWrittenCells } from './site';
import { writeHunks } from './steps';
import type { ISelection } from './wire';

/** What the gatherer calls the only text of a file. */
export const FILE = 'file';

/** Above and below a frame, in pixels: style/actions.css. */
const MARGINS = 12;

/** A file that is open in an editor. */
export class FileSite implements ISite {
  constructor(
    readonly widget: IDocumentWidget<FileEditor>,
    readonly path: string
  ) {}

  readonly canRun = false;

  get isReady(): boolean {
    return this.widget.context.isReady;
  }

  get ready(): Promise<void> {
    return this.widget.context.ready;
  }

  get theme(): string {
    const { editor } = this.widget.content;
    return String((editor as CodeMirrorEditor).getOption?.('theme') ?? '');
  }

  source(): string | null {
    return this.widget.isDisposed ? null : this._text.getSource();
  }

  label(): string {
    return '';
  }

  canWrite(): boolean {
    const { context } = this.widget;
    return (
      !this.widget.isDisposed &&
      !context.model.readOnly &&
      context.contentsModel?.writable !== false
    );
  }

  selection(): ISelection | null {
    return selectionOf(this.widget.content.editor);
  }

  mimeType(): string {
    return this.widget.content.model.mimeType;
  }

  get codeMimeType(): string {
    return this.mimeType();
  }

  isCode(): boolean {
    return true;
  }

  watch(_: readonly string[], changed: () => void): IDisposable {
    const text = this._text;
    text.changed.connect(changed);
    return new DisposableDelegate(() => text.changed.disconnect(changed));
  }

  write(replacements: readonly IReplacement[]): IWrittenCells {
    const written = replacements.map(({ hunks }) =>
      writeHunks(this._text, hunks)
    );
    return {
      cells: [],
      undo: () => {
        const isThere =
          !this.widget.isDisposed &&
          written.every(({ fits }) => fits(this._text));
        if (isThere) {
          written.forEach(({ undo }) => undo(this._text));
        }
        return isThere;
      }
    };
  }

  async run(): Promise<void> {
    // A file has no kernel.
  }

  /** A part of the editor's tab, below the text. */
  attach(frame: Widget): void {
    const layout = this.widget.layout as BoxLayout;
    layout.addWidget(frame);
    BoxPanel.setStretch(frame, 0);
    this.widget.disposed.connect(() => frame.dispose());
    // The tab's layout gives it the height that it is told, not the one of what is in it.
    const observer = new ResizeObserver(() => {
      const inner = frame.node.firstElementChild as HTMLElement | null;
      const room = this.widget.node.clientHeight / 2;
      // With its margins.
      BoxPanel.setSizeBasis(
        frame,
        Math.min((inner?.offsetHeight ?? 0) + MARGINS, room)
      );
    });
    observer.observe(this.widget.node);
    // Its content comes a moment later.
    const drawn = new MutationObserver(() => {
      for (const child of frame.node.children) {
        observer.observe(child);
      }
    });
    drawn.observe(frame.node, { childList: true });
    frame.disposed.connect(() => drawn.disconnect());
    frame.disposed.connect(() => observer.disconnect());
  }

  focus(): void {
    if (!this.widget.isDisposed) {
      this.widget.content.editor.focus();
    }
  }

  private get _text() {
    return this.widget.content.model.sharedModel;
  }
}
