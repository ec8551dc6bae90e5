import * as React from 'react';

import { Section } from '../../shared/section';
import type { ICardProps } from './card';
import { ChartCard } from './card';
import { grouped, search, toggled } from './groups';

/** Of so many charts on there is a field to search for one. */
const MANY = 7;
/** How far beyond the window charts are drawn already. */
const MARGIN = '300px 0px';

/** Charts of metrics, those with the same beginning of their name together. */
export function Board(
  props: Omit<ICardProps, 'metric' | 'title'> & {
    readonly metrics: readonly string[];
    /** Unique in the page. */
    readonly prefix: string;
    readonly controls: (search: React.ReactNode) => React.ReactNode;
  }
): React.ReactElement {
  const { metrics, prefix, controls, trans } = props;
  const [words, setWords] = React.useState('');
  const [folded, setFolded] = React.useState<ReadonlySet<string>>(new Set());
  const found = React.useMemo(() => search(metrics, words), [metrics, words]);
  const groups = React.useMemo(() => grouped(found), [found]);
  const isOne = groups.length === 1;
  const field = metrics.length >= MANY && (
    <input
      type="search"
      className="jp-AidpField jp-AidpPlot-search"
      aria-label={trans.__('Search metrics')}
      placeholder={trans.__('Search %1 metrics', metrics.length)}
      value={words}
      onChange={({ currentTarget }) => setWords(currentTarget.value)}
    />
  );
  return (
    <div className="jp-AidpPlot-board">
      {controls(field)}
      {found.length === 0 && (
        <p className="jp-AidpPlot-none">
          {trans.__('No metric is called like that.')}
        </p>
      )}
      {groups.map(([name, members]) => {
        const cards = (
          <div className="jp-AidpPlot-grid">
            {members.map(metric => (
              <Lazy
                key={metric}
                {...props}
                metric={metric}
                title={name && !isOne ? metric.slice(name.length + 1) : metric}
              />
            ))}
          </div>
        );
        return isOne ? (
          <React.Fragment key={name}>{cards}</React.Fragment>
        ) : (
          <Section
            key={name}
            id={`${prefix}-group-${encodeURIComponent(name)}`}
            title={name || trans.__('ungrouped')}
            summary={members.length}
            isOpen={!folded.has(name)}
            onToggle={isOpen =>
              setFolded(before => toggled(before, name, !isOpen))
            }
          >
            {cards}
          </Section>
        );
      })}
    </div>
  );
}

/** A chart that is there while it can be seen: of two hundred, a few. */
function Lazy(props: ICardProps): React.ReactElement {
  const place = React.useRef<HTMLDivElement>(null);
  const [isSeen, setSeen] = React.useState(false);
  React.useEffect(() => {
    const observer = new IntersectionObserver(
      entries => {
        const last = entries[entries.length - 1]!;
        // Who has the keyboard in it keeps it.
        const isHeld = place.current?.contains(document.activeElement);
        setSeen(last.isIntersecting || isHeld === true);
      },
      { rootMargin: MARGIN }
    );
    observer.observe(place.current!);
    return () => observer.disconnect();
  }, []);
  return (
    <div className="jp-AidpPlot-place" ref={place}>
      {isSeen ? (
        <ChartCard {...props} />
      ) : (
        <div className="jp-AidpPlot-waiting">{props.title}</div>
      )}
    </div>
  );
}
