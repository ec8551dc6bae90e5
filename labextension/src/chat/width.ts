import type { Widget } from '@lumino/widgets';
import { SplitPanel } from '@lumino/widgets';

/** What a chat needs, so that its controls stand beside each other. */
const USABLE_PX = 390;

/** The split between the sides and the main area. */
function sides(shell: Widget): SplitPanel | null {
  for (const child of shell.children()) {
    if (child instanceof SplitPanel && child.id === 'jp-main-split-panel') {
      return child;
    }
    const inside = sides(child);
    if (inside) {
      return inside;
    }
  }
  return null;
}

/** Give the side that a panel is in at least a usable width, as soon as it has any. */
export function widenSoon(shell: Widget, panel: Widget, frames = 30): void {
  requestAnimationFrame(() => {
    if (panel.node.clientWidth > 0) {
      widen(shell, panel);
    } else if (frames > 0) {
      widenSoon(shell, panel, frames - 1);
    }
  });
}

/** Give a side of Lab that is narrower at least this width, at the cost of the main area. */
function widen(shell: Widget, panel: Widget, pixels = USABLE_PX): void {
  const split = sides(shell);
  if (!split) {
    return;
  }
  const at = split.widgets.findIndex(one => one.contains(panel));
  const widths = split.widgets.map(one =>
    one.isVisible ? one.node.clientWidth : 0
  );
  const main = split.widgets.findIndex(one => one.id === 'jp-main-dock-panel');
  const missing = pixels - (widths[at] ?? pixels);
  // On a phone there is nothing to take it from.
  if (at < 0 || main < 0 || missing <= 0 || widths[main]! < 2 * pixels) {
    return;
  }
  widths[at]! += missing;
  widths[main]! -= missing;
  split.setRelativeSizes(widths);
}
