import type { ExperimentsApi } from '../api';
import { isMetric, usualColumns } from '../list/columns';
import { literal } from '../list/filter';
import type { ICellRuns, IRow } from '../wire';

/** For how long it is known which metrics say most of an experiment. */
const OLD_MS = 5_000;
/** How many runs one question is about. */
const MOST = 200;

type Values = IRow['values'];

/** The numbers at badges: the metrics that say most, of the last run of each cell. */
export class Measures {
  constructor(private _api: ExperimentsApi) {}

  /** The columns with them, of these experiments; the most telling first. */
  async columns(
    experiments: readonly string[],
    signal: AbortSignal
  ): Promise<readonly string[]> {
    const all = await Promise.all(
      experiments.map(experiment => this._columns(experiment, signal))
    );
    return [...new Set(all.flat())];
  }

  /** The same cells, their last runs with these columns. */
  async measured(
    cells: Readonly<Record<string, ICellRuns>>,
    signal: AbortSignal
  ): Promise<readonly [ReadonlyMap<string, ICellRuns>, readonly string[]]> {
    const all = new Map(Object.entries(cells));
    const lasts = [...all.values()].map(({ last }) => last).slice(0, MOST);
    const experiments = [...new Set(lasts.map(one => one.experiment_id))];
    const columns = await this.columns(experiments, signal);
    if (columns.length === 0) {
      return [all, columns];
    }
    const ids = lasts.map(({ id }) => literal(id)).join(', ');
    const { runs } = await this._api.runs(
      {
        ...{ experiments, columns, order_by: [], view: 'all' },
        ...{ filter: `attributes.run_id IN (${ids})`, offset: 0, limit: MOST }
      },
      signal
    );
    const found = new Map<string, Values>(
      runs.map(({ id, values }) => [id, values])
    );
    for (const [cell, made] of all) {
      const values = found.get(made.last.id) ?? made.last.values;
      all.set(cell, { ...made, last: { ...made.last, values } });
    }
    return [all, columns];
  }

  private async _columns(
    experiment: string,
    signal: AbortSignal
  ): Promise<readonly string[]> {
    const known = this._known.get(experiment);
    if (known && Date.now() - known.at < OLD_MS) {
      return known.columns;
    }
    const keys = await this._api.keys({ experiment, limit: 50 }, signal);
    const columns = usualColumns(keys, false)
      .map(({ key }) => key)
      .filter(isMetric);
    if (columns.length > 0) {
      this._known.set(experiment, { at: Date.now(), columns });
    }
    return columns;
  }

  private _known = new Map<
    string,
    { readonly at: number; readonly columns: readonly string[] }
  >();
}
