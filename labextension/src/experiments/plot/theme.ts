import type { IDisposable } from '@lumino/disposable';
import * as React from 'react';

/** Lab's colours, as a canvas needs them. */
export interface IColors {
  readonly isDark: boolean;
  readonly text: string;
  readonly quiet: string;
  readonly line: string;
  readonly ground: string;
  readonly accent: string;
  readonly font: string;
}

/** The colours that hold at this element. */
export function colorsAt(element: Element): IColors {
  const style = getComputedStyle(element);
  const get = (name: string, otherwise: string) =>
    style.getPropertyValue(name).trim() || otherwise;
  return {
    isDark: isDark(),
    text: get('--jp-ui-font-color1', '#212121'),
    quiet: get('--jp-ui-font-color2', '#616161'),
    line: get('--jp-border-color2', '#e0e0e0'),
    ground: get('--jp-layout-color1', '#fff'),
    accent: get('--jp-brand-color1', '#1976d2'),
    font: `11px ${get('--jp-ui-font-family', 'sans-serif')}`
  };
}

export function isDark(): boolean {
  return document.body.dataset.jpThemeLight === 'false';
}

/** Call back each time Lab's theme has changed. */
export function watchTheme(changed: () => void): IDisposable {
  const observer = new MutationObserver(changed);
  observer.observe(document.body, {
    attributeFilter: ['data-jp-theme-name', 'data-jp-theme-light']
  });
  return {
    get isDisposed() {
      return false;
    },
    dispose: () => observer.disconnect()
  };
}

/** Whether the theme is dark; renders again when that changes. */
export function useIsDark(): boolean {
  return React.useSyncExternalStore(changed => {
    const watch = watchTheme(changed);
    return () => watch.dispose();
  }, isDark);
}
