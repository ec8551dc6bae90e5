import * as React from 'react';

/** An element's width, kept up to date. */
export function useWidth(): readonly [React.RefCallback<HTMLElement>, number] {
  const [width, setWidth] = React.useState(600);
  const observer = React.useRef<ResizeObserver | null>(null);
  const host = React.useCallback((element: HTMLElement | null) => {
    observer.current?.disconnect();
    if (element) {
      const look = () => setWidth(Math.max(200, element.clientWidth));
      observer.current = new ResizeObserver(look);
      observer.current.observe(element);
      look();
    }
  }, []);
  return [host, width];
}
