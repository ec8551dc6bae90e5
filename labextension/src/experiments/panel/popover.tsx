import * as React from 'react';

/** What opens below a button, inside its panel, and closes with Escape or when one goes elsewhere. */
export function Popover(props: {
  readonly label: string;
  /** Closed; `isBack` says whether the keyboard goes back to what opened it. */
  readonly onClose: (isBack: boolean) => void;
  /** The button that opened it. */
  readonly anchor: React.RefObject<HTMLElement>;
  readonly className?: string;
  readonly children: React.ReactNode;
}): React.ReactElement {
  const { label, onClose, anchor, className = '', children } = props;
  const frame = React.useRef<HTMLDivElement>(null);
  const close = React.useRef(onClose);
  close.current = onClose;
  React.useEffect(() => {
    const pressed = ({ target }: PointerEvent) => {
      const isInside = [frame, anchor].some(({ current }) =>
        current?.contains(target as Node)
      );
      if (!isInside) {
        close.current(false);
      }
    };
    // Lab's parts may stop an event on its way up.
    document.addEventListener('pointerdown', pressed, true);
    return () => document.removeEventListener('pointerdown', pressed, true);
  }, []);
  React.useEffect(() => {
    // What had the keyboard may be gone, such as a box that was ticked.
    if (document.activeElement === document.body) {
      frame.current?.focus();
    }
  });
  return (
    <div
      ref={frame}
      tabIndex={-1}
      className={`jp-AidpExp-popover ${className}`}
      role="dialog"
      aria-label={label}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          onClose(true);
          anchor.current?.focus();
        }
      }}
    >
      {children}
    </div>
  );
}
