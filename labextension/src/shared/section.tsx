import * as React from 'react';

/** A part of a panel: its title with what matters most beside it, and the rest below when unfolded. */
export function Section(props: {
  /** Unique in the page. */
  readonly id: string;
  readonly title: string;
  /** Seen also when folded. */
  readonly summary?: React.ReactNode;
  /** Buttons at the right end. */
  readonly actions?: React.ReactNode;
  readonly isOpen: boolean;
  readonly onToggle: (isOpen: boolean) => void;
  readonly children: React.ReactNode;
}): React.ReactElement {
  const { id, title, summary, actions, isOpen, onToggle, children } = props;
  return (
    <section className="jp-AidpSection" id={id} aria-labelledby={`${id}-title`}>
      <div className="jp-AidpSection-head">
        <h3>
          <button
            type="button"
            aria-expanded={isOpen}
            aria-controls={`${id}-body`}
            onClick={() => onToggle(!isOpen)}
          >
            <span className="jp-AidpCaret" aria-hidden />
            <span
              className="jp-AidpSection-title"
              id={`${id}-title`}
              title={title}
            >
              {title}
            </span>
            <span className="jp-AidpSection-summary">{summary}</span>
          </button>
        </h3>
        {actions}
      </div>
      <div className="jp-AidpSection-body" id={`${id}-body`} hidden={!isOpen}>
        {isOpen && children}
      </div>
    </section>
  );
}
