import * as React from 'react';

export interface ITab {
  readonly id: string;
  readonly label: string;
  /** How many things are in it. */
  readonly count?: number;
  readonly body: () => React.ReactNode;
}

/** Tabs as the ARIA pattern has them: one stop, arrows move and choose. */
export function Tabs(props: {
  readonly label: string;
  readonly prefix: string;
  readonly tabs: readonly ITab[];
  readonly current: string;
  readonly onChoose: (id: string) => void;
}): React.ReactElement {
  const { label, prefix, tabs, current, onChoose } = props;
  const shown = tabs.find(({ id }) => id === current) ?? tabs[0]!;
  const moved = (event: React.KeyboardEvent) => {
    const at = tabs.indexOf(shown);
    const to: Record<string, number> = {
      ArrowLeft: (at + tabs.length - 1) % tabs.length,
      ArrowRight: (at + 1) % tabs.length,
      Home: 0,
      End: tabs.length - 1
    };
    if (event.key in to) {
      const { id } = tabs[to[event.key]!]!;
      onChoose(id);
      document.getElementById(`${prefix}-tab-${id}`)?.focus();
      event.preventDefault();
    }
  };
  return (
    <>
      <div
        className="jp-AidpTabs"
        role="tablist"
        aria-label={label}
        onKeyDown={moved}
      >
        {tabs.map(({ id, label: name, count }) => (
          <button
            key={id}
            type="button"
            role="tab"
            id={`${prefix}-tab-${id}`}
            aria-selected={id === shown.id}
            aria-controls={`${prefix}-body`}
            tabIndex={id === shown.id ? 0 : -1}
            onClick={() => onChoose(id)}
          >
            {name}
            {count !== undefined && count > 0 && (
              <span className="jp-AidpTabs-count">{count}</span>
            )}
          </button>
        ))}
      </div>
      <div
        className="jp-AidpTabs-body"
        role="tabpanel"
        id={`${prefix}-body`}
        aria-labelledby={`${prefix}-tab-${shown.id}`}
        tabIndex={-1}
      >
        {shown.body()}
      </div>
    </>
  );
}
