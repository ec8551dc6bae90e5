import { PathExt } from '@jupyterlab/coreutils';

import type { ISite } from './site';

/** What the server takes: see NEW_FILE in aidp_ext/ai/actions/wire.py. */
const PATH =
  /^(?:[^/\\.\p{Cc}][^/\\\p{Cc}]{0,200}\/){0,20}[^/\\.\p{Cc}][^/\\\p{Cc}]{0,200}\.py$/u;

/** Whether a new module can be written there: a path below the workspace. */
export function isModulePath(path: string): boolean {
  return PATH.test(path);
}

/** A name for a module of what a text defines, beside its document. */
export function moduleFor(site: ISite, cell: string): string {
  const defined = /^(?:async\s+)?(?:def|class)\s+(\w+)/m.exec(
    site.source(cell) ?? ''
  )?.[1];
  const words = defined?.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase();
  return PathExt.join(PathExt.dirname(site.path), `${words ?? 'module'}.py`);
}
