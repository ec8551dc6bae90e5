import { PathExt } from '@jupyterlab/coreutils';

import type { IRunDetail } from '../wire';

/** Where the notebook goes by default: beside the one that it comes from. */
export function pathFor(run: Pick<IRunDetail, 'id' | 'name' | 'cell'>): string {
  const from = run.cell?.notebook ?? '';
  const folder = PathExt.dirname(from);
  const stem = PathExt.basename(from, '.ipynb') || 'run';
  return PathExt.join(folder, `${stem}-${slug(run)}.ipynb`);
}

/** What the branch is called by default. */
export function branchFor(run: Pick<IRunDetail, 'id' | 'name'>): string {
  return `run/${slug(run)}`;
}

function slug({ id, name }: Pick<IRunDetail, 'id' | 'name'>): string {
  const plain = name
    .normalize('NFKD')
    .replace(/[^A-Za-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40)
    .toLowerCase();
  return plain || id.slice(0, 8);
}
