/**
 * Keep what is in a cell from the notebook: there, a key for a button would delete the cell, and a double click would
 * open its text. Shortcuts of the whole page, such as the one that saves, work as ever.
 */
export function shield(node: HTMLElement): void {
  node.dataset.jpSuppressContextMenu = 'true';
  // On what has the focus: the notebook's shortcuts are looked for there before they are further up.
  node.addEventListener('focusin', ({ target }) => {
    (target as HTMLElement).dataset.lmSuppressShortcuts = 'true';
  });
  for (const type of ['dblclick', 'contextmenu']) {
    node.addEventListener(type, event => event.stopPropagation());
  }
  node.addEventListener('keydown', event => {
    const isForPage = event.ctrlKey || event.metaKey;
    if (isForPage && !event.defaultPrevented && !event.isComposing) {
      // Those of a cell need the focus to be in it: they do not answer to this one.
      const copy = new KeyboardEvent('keydown', event);
      if (!(node.parentElement?.dispatchEvent(copy) ?? true)) {
        event.preventDefault();
      }
      event.stopPropagation();
    }
  });
}
