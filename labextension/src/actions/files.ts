import { PathExt } from '@jupyterlab/coreutils';
import type { Contents } from '@jupyterlab/services';

import { AidpError } from '../shared/request';

/** A file that was written, and how to take that back. */
export interface IWritten {
  readonly path: string;
  readonly undo: () => Promise<void>;
}

type Manager = Pick<Contents.IManager, 'get' | 'save' | 'delete'>;

/** The text of a file of the workspace; null where there is none. */
export async function readText(
  contents: Manager,
  path: string
): Promise<string | null> {
  try {
    const { content } = (await contents.get(path, {
      type: 'file',
      format: 'text',
      content: true
    })) as { content: unknown };
    return typeof content === 'string' ? content : '';
  } catch (error) {
    if ((error as { response?: Response }).response?.status === 404) {
      return null;
    }
    throw asFileError(error, path);
  }
}

/** Write a file, and the folders that it needs. `before` is what it holds now, as of `readText`. */
export async function writeText(
  contents: Manager,
  path: string,
  text: string,
  before: string | null
): Promise<IWritten> {
  const made: string[] = [];
  try {
    for (const folder of parents(path)) {
      if (!(await exists(contents, folder))) {
        await contents.save(folder, { type: 'directory' });
        made.unshift(folder);
      }
    }
    await save(contents, path, text);
  } catch (error) {
    throw asFileError(error, path);
  }
  return {
    path,
    undo: async () => {
      if (before !== null) {
        await save(contents, path, before);
        return;
      }
      await contents.delete(path);
      for (const folder of made) {
        const { content } = await contents.get(folder, { content: true });
        if ((content as unknown[]).length === 0) {
          await contents.delete(folder);
        }
      }
    }
  };
}

/** The folders above a file, from the outermost. */
export function parents(path: string): string[] {
  const folders: string[] = [];
  for (
    let folder = PathExt.dirname(path);
    folder && folder !== '.';
    folder = PathExt.dirname(folder)
  ) {
    folders.unshift(folder);
  }
  return folders;
}

async function exists(contents: Manager, folder: string): Promise<boolean> {
  try {
    await contents.get(folder, { content: false });
    return true;
  } catch (error) {
    if ((error as { response?: Response }).response?.status === 404) {
      return false;
    }
    throw error;
  }
}

function save(
  contents: Manager,
  path: string,
  content: string
): Promise<Contents.IModel> {
  return contents.save(path, { type: 'file', format: 'text', content });
}

function asFileError(error: unknown, path: string): AidpError {
  const { message } = error as Partial<Error>;
  return new AidpError('file', `\`${path}\`: ${message ?? String(error)}`);
}
