import type { TranslationBundle } from '@jupyterlab/translation';

import type { IPart } from './review';
import type { ISite } from './site';
import type { Offer } from './tokens';

/** What an action is called in a menu. */
export function actionName(offer: Offer, trans: TranslationBundle): string {
  switch (offer) {
    case 'explain':
      return trans.__('Explain');
    case 'fix':
      return trans.__('Fix');
    case 'tests':
      return trans.__('Write Tests');
    case 'docs':
      return trans.__('Add Docstrings and Types');
    case 'optimize':
      return trans.__('Optimize');
    case 'review':
      return trans.__('Review');
    case 'convert':
      return trans.__('Convert to Function');
    case 'module':
      return trans.__('Convert to Module…');
    case 'generate':
      return trans.__('Generate from Comment');
    case 'summary':
      return trans.__('Summarise Notebook');
    case 'edit':
      return trans.__('Edit…');
  }
}

/** Where a change would be made. */
export function whereOf(
  { change, original }: IPart,
  site: ISite,
  trans: TranslationBundle
): string {
  const { kind, cell, cell_type, path } = change;
  const label = site.label(cell);
  switch (kind) {
    case 'replace':
      return label ? trans.__('Cell %1', label) : site.path;
    case 'create_file':
      return original
        ? trans.__('%1 (there already)', path)
        : trans.__('%1 (new file)', path);
    case 'insert_above':
    case 'insert_below': {
      if (!label) {
        return trans.__('New cell');
      }
      const isAbove = kind === 'insert_above';
      if (cell_type === 'markdown') {
        return isAbove
          ? trans.__('New Markdown cell above cell %1', label)
          : trans.__('New Markdown cell below cell %1', label);
      }
      return isAbove
        ? trans.__('New cell above cell %1', label)
        : trans.__('New cell below cell %1', label);
    }
  }
}
