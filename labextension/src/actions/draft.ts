import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';

import { AidpError } from '../shared/request';
import type { Undo } from './files';
import { apply, withLineEndsOf } from './hunks';
import type { Differ, IPart } from './review';
import { Review } from './review';
import type { IInsertion, IReplacement, ISite } from './site';
import type { IChange, IProposal } from './wire';
import { whereOf } from './wording';

/** Files of the workspace, as far as proposals are about them. */
export interface IFiles {
  /** The text as it is now, in its editor where it is open; null where there is none. */
  read(path: string): Promise<string | null>;
  /** Write a file. Returns what takes that back; null where the user would not have a file replaced. */
  write(
    path: string,
    text: string,
    before: string | null
  ): Promise<Undo | null>;
  /** Save a file where it is open and changed. */
  save(path: string): Promise<void>;
  /** Say what was written, and offer to take it back. */
  offerUndo(message: string, undo: Undo): void;
}

export interface IDraftOptions {
  readonly site: ISite;
  readonly files: IFiles;
  readonly trans: TranslationBundle;
  readonly differ: Differ;
}

/** What became of a draft. */
export interface IWritten {
  /** The ids of the cells that were written and can be run, in their order. */
  readonly cells: readonly string[];
  /** What was written, in words. */
  readonly labels: readonly string[];
  /** The files that were written. */
  readonly paths: readonly string[];
  /** Takes all of it back; null where the text's own undo does. */
  readonly undo: Undo | null;
}

/** A proposal beside the texts that it is about: it follows them while it is read, and is written into them. */
export class Draft {
  private constructor(
    readonly review: Review,
    private _existing: ReadonlyMap<string, string | null>,
    private _options: IDraftOptions
  ) {}

  /** Rejects with an AidpError where the proposal would change nothing. */
  static async of(proposal: IProposal, options: IDraftOptions): Promise<Draft> {
    const { differ, files, site, trans } = options;
    const changes: IChange[] = [];
    const existing = new Map<string, string | null>();
    for (const change of proposal.changes) {
      const { kind, path } = change;
      if (
        kind === 'create_file' ||
        (kind === 'replace' && path !== site.path)
      ) {
        const original = await files.read(path);
        existing.set(path, original);
        changes.push(about(original ?? '', { ...change, kind: 'create_file' }));
      } else {
        const now = kind === 'replace' ? site.source(change.cell) : null;
        const isSame = now !== null && plain(now) === plain(change.original);
        changes.push(isSame ? about(now, change) : change);
      }
    }
    const review = new Review(changes, differ);
    if (review.parts.length === 0) {
      throw new AidpError(
        'no_change',
        trans.__('The model would change nothing.'),
        0,
        { next_step: trans.__('Ask in other words, or try another model.') }
      );
    }
    return new Draft(review, existing, options);
  }

  /** Some text that it is about may have changed. */
  watch(changed: () => void): IDisposable {
    const cells = this.review.parts.map(({ change }) => change.cell);
    return this._options.site.watch(cells, changed);
  }

  /** Follow the texts as they are now; returns whether any is another one. Throws where the proposal is void. */
  follow(): boolean {
    const { site, trans } = this._options;
    let hasMoved = false;
    for (const part of this.review.parts) {
      const { kind, cell } = part.change;
      if (kind === 'create_file') {
        continue;
      }
      const source = cell === '' && kind !== 'replace' ? '' : site.source(cell);
      if (source === null) {
        throw new AidpError(
          'gone',
          trans.__('A cell that the proposal is about is gone.')
        );
      }
      if (kind !== 'replace' || source === part.original) {
        continue;
      }
      if (!this.review.follow(part, source)) {
        throw this._stale();
      }
      hasMoved = true;
    }
    return hasMoved;
  }

  /** Write what was accepted. Rejects where it cannot be. */
  async write(): Promise<IWritten> {
    const { site, trans } = this._options;
    this._plan();
    const labels = this.review.parts
      .filter(part => this.review.verdict(part).length > 0)
      .map(part => whereOf(part, site, trans));
    const files = await this._writeFiles();
    // A question about a file may have taken a while.
    const { replacements, insertions } = this._plan();
    const { cells, undo } = site.write(replacements, insertions);
    const undone = [...files.values(), undo];
    // One text has its own undo.
    const isOneText =
      files.size + insertions.length === 0 && replacements.length < 2;
    return {
      cells,
      labels,
      paths: [...files.keys()],
      undo: isOneText
        ? null
        : async () => {
            // All that can be, whatever has become of the rest.
            const all = await Promise.all(undone.map(undo => undo()));
            return all.every(Boolean);
          }
    };
  }

  /** What becomes of the open document. Throws unless all of it can be done. */
  private _plan(): {
    readonly replacements: readonly IReplacement[];
    readonly insertions: readonly IInsertion[];
  } {
    const { site, trans } = this._options;
    const replacements: IReplacement[] = [];
    const insertions: IInsertion[] = [];
    for (const part of this.review.parts) {
      const { change, original } = part;
      const { cell, kind } = change;
      const hunks = this.review.verdict(part);
      if (hunks.length === 0 || kind === 'create_file') {
        continue;
      }
      if (!site.canWrite(cell)) {
        throw new AidpError(
          'read_only',
          trans.__('The text cannot be changed: it is read-only.')
        );
      }
      if (kind === 'replace') {
        if (site.source(cell) !== original) {
          throw this._stale();
        }
        replacements.push({ cell, hunks });
      } else {
        const type = change.cell_type;
        const source = apply('', hunks);
        insertions.push({ cell, where: kind, type, source });
      }
    }
    return { replacements, insertions };
  }

  /** Returns what takes each file back, by its path. */
  private async _writeFiles(): Promise<Map<string, Undo>> {
    const { files } = this._options;
    const written = new Map<string, Undo>();
    for (const part of this.review.parts) {
      const { kind, path } = part.change;
      const hunks = this.review.verdict(part);
      if (kind !== 'create_file' || hunks.length === 0) {
        continue;
      }
      const before = await files.read(path);
      if (before !== this._existing.get(path)) {
        throw this._stale(part);
      }
      const text = apply(part.original, hunks);
      const undo = await files.write(path, text, before);
      if (undo) {
        written.set(path, undo);
      }
    }
    return written;
  }

  private _stale(file?: IPart): AidpError {
    const { trans } = this._options;
    return new AidpError(
      'changed_since',
      file
        ? trans.__('`%1` has changed since.', file.change.path)
        : trans.__(
            'The text has changed since, where the proposal is about it.'
          ),
      0,
      { next_step: trans.__('Try again: it is asked with the new text.') }
    );
  }
}

function plain(text: string): string {
  return withLineEndsOf(text, '');
}

/** A change as one of a text as it is, with the line ends of that. */
function about(original: string, change: IChange): IChange {
  const source = withLineEndsOf(change.source, original);
  return { ...change, original, source };
}
