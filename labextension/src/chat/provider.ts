import type {
  IChatCommand,
  IChatCommandProvider,
  IInputModel
} from '@jupyter/chat';
import type { Contents } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IContextQuestion } from '../ai/context/wire';
import type { MentionKind } from './mentions';
import { KINDS, isMentionable, mention } from './mentions';

const MOST = 30;
/** How long a folder's list is good enough while a name is typed. */
const FRESH_MS = 5000;

export interface IMentionOptions {
  readonly contents: Pick<Contents.IManager, 'get'>;
  /** What is known of the work: cells, variables. Asks nobody. */
  readonly question: () => Pick<
    IContextQuestion,
    'document' | 'kernel' | 'open'
  > | null;
  readonly trans: TranslationBundle;
}

/** Completes `@file:`, `@cell:`, `@df:` and `@run:` in the chat's input. */
export class MentionProvider implements IChatCommandProvider {
  constructor(private _options: IMentionOptions) {}

  readonly id = 'aidp-ext:mentions';

  async listCommandCompletions(input: IInputModel): Promise<IChatCommand[]> {
    const word = input.currentWord ?? '';
    const [, kind, typed] = /^@(file|cell|df|run):"?([^"]*)$/.exec(word) ?? [];
    const found =
      kind === undefined
        ? this._kinds(word)
        : await this._named(kind as MentionKind, typed!);
    // What is complete needs no choice: Enter then sends.
    return found.some(({ name }) => name === word) ? [] : found.slice(0, MOST);
  }

  // The mentions are read from the message as it is sent.
  async onSubmit(): Promise<void> {}

  private _kinds(word: string): IChatCommand[] {
    const { trans } = this._options;
    const words: Record<MentionKind, string> = {
      file: trans.__('a file of the workspace'),
      cell: trans.__('a cell of the notebook, by its place'),
      df: trans.__('a data frame or another variable'),
      run: trans.__('a run, by its id')
    };
    return /^@[a-z]*$/.test(word)
      ? KINDS.map(kind => this._command(`@${kind}:`, words[kind])).filter(
          ({ name }) => name.startsWith(word)
        )
      : [];
  }

  private async _named(
    kind: MentionKind,
    typed: string
  ): Promise<IChatCommand[]> {
    switch (kind) {
      case 'file':
        return this._files(typed);
      case 'cell':
        return this._cells(typed);
      case 'df':
        return this._variables(typed);
      case 'run':
        return [];
    }
  }

  private async _files(typed: string): Promise<IChatCommand[]> {
    const { trans } = this._options;
    const slash = typed.lastIndexOf('/') + 1;
    const start = typed.slice(slash).toLowerCase();
    const inside = await this._folder(typed.slice(0, Math.max(0, slash - 1)));
    return inside
      .filter(({ name }) => name.toLowerCase().startsWith(start))
      .map(({ path, type }) =>
        type === 'directory'
          ? this._command(`@file:${path}/`, trans.__('folder'))
          : this._command(mention('file', path), '', true)
      );
  }

  private async _folder(
    path: string
  ): Promise<readonly Pick<Contents.IModel, 'name' | 'path' | 'type'>[]> {
    const { _folderRead: folder } = this;
    if (folder?.path === path && Date.now() - folder.at < FRESH_MS) {
      return folder.inside;
    }
    const list = () => this._options.contents.get(path, { content: true });
    // A file that goes while the server reads its folder fails all of the list, and nobody may type another letter.
    const inside = list()
      .catch(list)
      .then(
        ({ content }) =>
          (content as Contents.IModel[])
            .filter(
              ({ name, path }) =>
                !name.startsWith('.') &&
                !name.endsWith('.chat') &&
                isMentionable('file', path)
            )
            .sort((a, b) => a.name.localeCompare(b.name)),
        () => []
      );
    this._folderRead = { path, at: Date.now(), inside };
    return inside;
  }

  private _cells(typed: string): IChatCommand[] {
    const { document } = this._options.question() ?? {};
    return document?.kind === 'notebook'
      ? document.cells
          .map((cell, index) =>
            this._command(
              mention('cell', String(index + 1)),
              cell.source.trim().split('\n', 1)[0]!.slice(0, 60),
              true
            )
          )
          .filter(
            ({ name, description }) =>
              name.startsWith(`@cell:${typed}`) ||
              (typed && description?.toLowerCase().includes(typed))
          )
      : [];
  }

  private _variables(typed: string): IChatCommand[] {
    const { kernel } = this._options.question() ?? {};
    return [...(kernel?.variables ?? [])]
      .filter(({ name }) => name.startsWith(typed) && isMentionable('df', name))
      .sort((a, b) => Number(!!b.columns) - Number(!!a.columns))
      .map(({ name, type, shape }) =>
        this._command(
          mention('df', name),
          shape?.length ? `${type} ${shape.join('×')}` : type,
          true
        )
      );
  }

  private _command(
    name: string,
    description: string,
    spaceOnAccept = false
  ): IChatCommand {
    return { name, description, spaceOnAccept, providerId: this.id };
  }

  private _folderRead: {
    readonly path: string;
    readonly at: number;
    readonly inside: Promise<
      readonly Pick<Contents.IModel, 'name' | 'path' | 'type'>[]
    >;
  } | null = null;
}
