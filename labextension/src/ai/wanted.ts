import type { NotebookPanel } from '@jupyterlab/notebook';
import type { IStateDB } from '@jupyterlab/statedb';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import { notebookOf } from './panels';

/** Where the files are kept in which nothing is suggested; a notebook keeps it itself. */
const KEY = 'aidp-ext:no-suggestions';
/** The part of a notebook's metadata that is ours: `{"aidp": {"completion": false}}`. */
const METADATA = 'aidp';

const PROSE: ReadonlySet<string> = new Set(['', 'text', 'markdown', 'latex']);

/** In which documents and languages the user wants suggestions. */
export class Wanted {
  constructor(
    private _pathOf: (widget: Widget) => string,
    private _state: Pick<IStateDB, 'fetch' | 'save'> | null
  ) {
    void this._load();
  }

  /** A document was turned on or off. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** What the user set for single languages; the others are on if they are code. */
  languages: Readonly<Record<string, boolean>> = {};

  /** Whether suggestions are wanted in a document and a language. */
  isWanted(widget: Widget | null, language: string): boolean {
    const isOn = this.languages[language] ?? !PROSE.has(language);
    return isOn && !(widget && this.isOff(widget));
  }

  /** Whether a document has been turned off. */
  isOff(widget: Widget): boolean {
    const notebook = notebookOf(widget);
    return notebook
      ? ours(notebook)['completion'] === false
      : this._paths.has(this._pathOf(widget));
  }

  /** Turn a document off, or on again. */
  async toggle(widget: Widget): Promise<void> {
    const isOff = !this.isOff(widget);
    const notebook = notebookOf(widget);
    if (notebook) {
      const next = ours(notebook);
      delete next['completion'];
      if (isOff) {
        next['completion'] = false;
      }
      if (Object.keys(next).length > 0) {
        notebook.model?.setMetadata(METADATA, next);
      } else {
        notebook.model?.deleteMetadata(METADATA);
      }
    } else if (isOff) {
      this._paths.add(this._pathOf(widget));
    } else {
      this._paths.delete(this._pathOf(widget));
    }
    this._changed.emit();
    if (!notebook) {
      await this._state?.save(KEY, { paths: [...this._paths] });
    }
  }

  private async _load(): Promise<void> {
    const known = (await this._state?.fetch(KEY)) as
      { paths?: unknown } | undefined;
    if (Array.isArray(known?.paths)) {
      const paths = known.paths.filter(path => typeof path === 'string');
      this._paths = new Set(paths as string[]);
      this._changed.emit();
    }
  }

  private _changed = new Signal<this, void>(this);
  private _paths = new Set<string>();
}

/** What a notebook's metadata say of aidp; they are anybody's, and may say anything. */
function ours({ model }: NotebookPanel): Record<string, unknown> {
  const said: unknown = model?.getMetadata(METADATA);
  return said && typeof said === 'object' && !Array.isArray(said)
    ? { ...said }
    : {};
}
