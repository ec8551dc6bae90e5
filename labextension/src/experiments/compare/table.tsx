import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { toggled } from '../plot/groups';
import { Swatch, Toggle } from '../plot/controls';
import { lookOf } from '../plot/palette';
import { useIsDark } from '../plot/theme';
import { nameOf, useComparison, useCompareContext } from './context';
import type { GroupName, IGroup } from './rows';
import { tableOf } from './rows';

const ROWS = 100;

function groupNames(trans: TranslationBundle): Record<GroupName, string> {
  return {
    metrics: trans.__('Metrics'),
    params: trans.__('Parameters'),
    tags: trans.__('Tags'),
    environment: trans.__('Environment'),
    packages: trans.__('Packages')
  };
}

/** In what the runs differ; what they have in common when it is wished. */
export function DifferenceTable(): React.ReactElement {
  const { model, trans } = useCompareContext();
  const comparison = useComparison();
  const isDark = useIsDark();
  const [onlyDifferences, setOnly] = React.useState(true);
  const [words, setWords] = React.useState('');
  const [groups, setGroups] = React.useState<ReadonlySet<string>>(
    new Set(['metrics', 'params', 'tags', 'environment', 'packages'])
  );
  const [directions, setDirections] = React.useState<
    ReadonlyMap<string, boolean>
  >(new Map());
  const base = comparison.runs.findIndex(({ id }) => id === model.base);
  const table = React.useMemo(
    () =>
      tableOf(comparison, {
        onlyDifferences,
        groups: groups as ReadonlySet<GroupName>,
        words,
        base,
        directions
      }),
    [comparison, onlyDifferences, groups, words, base, directions]
  );
  const names = groupNames(trans);
  const isNothing = table.every(({ lines }) => lines.length === 0);
  return (
    <>
      <div className="jp-AidpPlot-controls">
        <input
          type="search"
          className="jp-AidpField jp-AidpPlot-search"
          aria-label={trans.__('Search the table')}
          placeholder={trans.__('Search')}
          value={words}
          onChange={({ currentTarget }) => setWords(currentTarget.value)}
        />
        <Toggle
          label={trans.__('only what differs')}
          isOn={onlyDifferences}
          onChange={setOnly}
        />
        {(Object.keys(names) as GroupName[]).map(name => (
          <Toggle
            key={name}
            label={names[name]}
            isOn={groups.has(name)}
            onChange={isOn => setGroups(toggled(groups, name, isOn))}
          />
        ))}
      </div>
      <div
        className="jp-AidpCompare-table"
        role="region"
        aria-label={trans.__('Table of differences')}
        tabIndex={0}
      >
        <table>
          <thead>
            <tr>
              <td />
              {comparison.runs.map(run => (
                <th
                  key={run.id}
                  scope="col"
                  title={nameOf(run)}
                  data-base={run.id === model.base}
                >
                  <Swatch {...lookOf(model.lookOf(run.id), isDark)} />
                  <span>{nameOf(run)}</span>
                </th>
              ))}
            </tr>
          </thead>
          {table.map(group => (
            <Lines
              key={group.name}
              group={group}
              title={names[group.name]}
              columns={comparison.runs.length + 1}
              onTurn={(key, isSmaller) =>
                setDirections(new Map([...directions, [key, isSmaller]]))
              }
            />
          ))}
        </table>
      </div>
      {isNothing && (
        <p className="jp-AidpRun-quiet">
          {words
            ? trans.__('Nothing is called like that.')
            : onlyDifferences
              ? trans.__('In all that is chosen the runs are alike.')
              : trans.__('Nothing was logged.')}
        </p>
      )}
    </>
  );
}

function Lines(props: {
  readonly group: IGroup;
  readonly title: string;
  readonly columns: number;
  readonly onTurn: (key: string, isSmaller: boolean) => void;
}): React.ReactElement | null {
  const { columns, group, onTurn, title } = props;
  const { trans } = useCompareContext();
  const [count, setCount] = React.useState(ROWS);
  const { lines, total } = group;
  if (lines.length === 0) {
    return null;
  }
  return (
    <tbody>
      <tr className="jp-AidpCompare-group">
        <th scope="rowgroup" colSpan={columns}>
          <span>
            {title} <small>{trans.__('%1 of %2', lines.length, total)}</small>
          </span>
        </th>
      </tr>
      {lines.slice(0, count).map(({ cells, isSmaller, key }) => (
        <tr key={key}>
          <th scope="row" title={key}>
            <span className="jp-AidpCompare-key">{key}</span>
            {isSmaller !== null && (
              <button
                type="button"
                className="jp-AidpCompare-turn"
                aria-label={
                  isSmaller
                    ? trans.__('Less of %1 is better; turn that round', key)
                    : trans.__('More of %1 is better; turn that round', key)
                }
                title={
                  isSmaller
                    ? trans.__('Less is better')
                    : trans.__('More is better')
                }
                onClick={() => onTurn(key, !isSmaller)}
              >
                {isSmaller ? '↓' : '↑'}
              </button>
            )}
          </th>
          {cells.map(({ by, isBest, isOther, text, title: whole }, index) => (
            <td
              key={index}
              title={whole}
              data-best={isBest}
              data-other={isOther}
              className={isSmaller === null ? undefined : 'jp-AidpRun-number'}
            >
              {isBest && (
                <span role="img" aria-label={trans.__('best')}>
                  ★
                </span>
              )}
              <span className="jp-AidpCompare-text">{text}</span>
              {by && <small>{by}</small>}
            </td>
          ))}
        </tr>
      ))}
      {lines.length > count && (
        <tr>
          <td colSpan={columns}>
            <button
              type="button"
              className="jp-AidpButton"
              onClick={() => setCount(count + 5 * ROWS)}
            >
              {trans.__('Show more: %1 of %2', count, lines.length)}
            </button>
          </td>
        </tr>
      )}
    </tbody>
  );
}
