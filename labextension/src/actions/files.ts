import { PathExt } from '@jupyterlab/coreutils';
import type { Contents } from '@jupyterlab/services';

import { AidpError } from '../shared/request';

/** Takes a change back; returns false where what was written has changed since, and stays. */
export type Undo = () => Promise<boolean> | boolean;

type Manager = Pick<Contents.IManager, 'get' | 'save' | 'delete'>;

/** The text of a file of the workspace; null where there is none. */
export async function readText(
  contents: Manager,
  path: string
): Promise<string | null> {
  try {
    // A look at the folders first: asking for what is not there is an error in the browser's console.
    if (!(await exists(contents, path))) {
      return null;
    }
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

/** Write a file, and the folders that it needs. `before` is what it holds now, as of `readText`. Returns the undo. */
export async function writeText(
  contents: Manager,
  path: string,
  text: string,
  before: string | null
): Promise<Undo> {
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
  return async () => {
    if ((await readText(contents, path)) !== text) {
      return false;
    }
    if (before !== null) {
      await save(contents, path, before);
      return true;
    }
    await contents.delete(path);
    for (const folder of made) {
      const { content } = await contents.get(folder, { content: true });
      if ((content as unknown[]).length === 0) {
        await contents.delete(folder);
      }
    }
    return true;
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

/** Whether there is a file or folder, as far as its folders list it. */
async function exists(contents: Manager, path: string): Promise<boolean> {
  let folder = '';
  for (const part of [...parents(path), path]) {
    const { content } = (await contents.get(folder, { content: true })) as {
      content: unknown;
    };
    const names = Array.isArray(content) ? (content as Contents.IModel[]) : [];
    if (!names.some(({ name }) => name === PathExt.basename(part))) {
      return false;
    }
    folder = part;
  }
  return true;
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
