/** Move the focus from the panel as such to its first choice, as soon as there is one. */
export function focusFirst(panel: HTMLElement): void {
  if (document.activeElement === panel) {
    panel.querySelector<HTMLElement>('.jp-AidpAI-overview select')?.focus();
  }
}
