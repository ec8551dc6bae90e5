import * as React from 'react';

import type { Brush, Brushes } from './brush';
import { useCompareContext } from './context';
import type { IDimension, IScale } from './dimensions';
import { BOTTOM, HEIGHT, TOP, yOf } from './parallel';

/** Half the width in which an axis is brushed, in pixels. */
const REACH = 14;
/** A shorter drag is a click. */
const CLICK = 0.02;

/** The axes with their marks. A part of one is chosen by dragging along it; a click lets it go. */
export function Axes(props: {
  readonly axes: readonly IDimension[];
  readonly scales: ReadonlyMap<string, IScale>;
  readonly brushes: Brushes;
  readonly xOf: (index: number) => number;
  readonly onBrush: (id: string, brush: Brush | null) => void;
}): React.ReactElement {
  const { axes, scales, brushes, xOf, onBrush } = props;
  return (
    <g className="jp-AidpParallel-axes">
      {axes.map(({ id }, index) => {
        const x = xOf(index);
        const brush = brushes.get(id);
        return (
          <g key={id}>
            <line x1={x} x2={x} y1={TOP} y2={HEIGHT - BOTTOM} />
            {scales.get(id)!.ticks.map(([place, text]) => (
              <text key={place} x={x + 5} y={yOf(place) + 3}>
                {text.length > 14 ? `${text.slice(0, 13)}…` : text}
              </text>
            ))}
            {brush && (
              <rect
                className="jp-AidpParallel-brush"
                x={x - 7}
                width={14}
                y={yOf(brush[1])}
                height={Math.max(2, yOf(brush[0]) - yOf(brush[1]))}
              />
            )}
            <Reach x={x} onBrush={one => onBrush(id, one)} />
          </g>
        );
      })}
    </g>
  );
}

function Reach(props: {
  readonly x: number;
  readonly onBrush: (brush: Brush | null) => void;
}): React.ReactElement {
  const { x, onBrush } = props;
  const began = React.useRef<number | null>(null);
  const placeAt = (event: React.PointerEvent<SVGRectElement>) => {
    const { top } =
      event.currentTarget.ownerSVGElement!.getBoundingClientRect();
    const y = event.clientY - top;
    const place = (HEIGHT - BOTTOM - y) / (HEIGHT - TOP - BOTTOM);
    return Math.min(1, Math.max(0, place));
  };
  return (
    <rect
      className="jp-AidpParallel-reach"
      x={x - REACH}
      width={2 * REACH}
      y={TOP - 4}
      height={HEIGHT - TOP - BOTTOM + 8}
      onPointerDown={event => {
        began.current = placeAt(event);
        event.currentTarget.setPointerCapture(event.pointerId);
      }}
      onPointerMove={event => {
        if (began.current !== null) {
          const now = placeAt(event);
          const [low, high] = [
            Math.min(now, began.current),
            Math.max(now, began.current)
          ];
          onBrush(high - low > CLICK ? [low, high] : null);
        }
      }}
      onPointerUp={() => (began.current = null)}
      onPointerCancel={() => (began.current = null)}
    />
  );
}

/** Which axes there are. */
export function AxisChoice(props: {
  readonly dimensions: readonly IDimension[];
  readonly chosen: readonly string[];
  readonly onChoose: (ids: readonly string[]) => void;
}): React.ReactElement {
  const { dimensions, chosen, onChoose } = props;
  const { trans } = useCompareContext();
  const [words, setWords] = React.useState('');
  const details = React.useRef<HTMLDetailsElement>(null);
  const wanted = words.trim().toLowerCase();
  const found = dimensions.filter(({ label }) =>
    label.toLowerCase().includes(wanted)
  );
  return (
    <details
      className="jp-AidpDrop"
      ref={details}
      onKeyDown={event => {
        if (event.key === 'Escape' && details.current?.open) {
          details.current.open = false;
          details.current.querySelector('summary')?.focus();
          event.stopPropagation();
        }
      }}
    >
      <summary>{trans.__('Axes: %1', chosen.length)}</summary>
      <div className="jp-AidpDrop-body">
        <input
          type="search"
          className="jp-AidpField"
          aria-label={trans.__('Search axes')}
          placeholder={trans.__('Search')}
          value={words}
          onChange={({ currentTarget }) => setWords(currentTarget.value)}
        />
        {found.slice(0, 100).map(({ id, label }) => (
          <label key={id} title={id}>
            <input
              type="checkbox"
              checked={chosen.includes(id)}
              onChange={({ currentTarget: { checked } }) =>
                onChoose(
                  checked ? [...chosen, id] : chosen.filter(one => one !== id)
                )
              }
            />
            <span>{label}</span>
          </label>
        ))}
      </div>
    </details>
  );
}
