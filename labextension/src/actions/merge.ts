import type * as Merge from './diff';

/** Load what compares texts and shows how they differ: it is not part of what Lab starts with. */
export function loadMerge(): Promise<typeof Merge> {
  return import(/* webpackChunkName: 'on-demand-merge' */ './diff');
}
