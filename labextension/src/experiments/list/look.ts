import type { Kept } from '../kept';
import type { IKeys } from '../wire';
import type { IColumn, ISort } from './columns';
import {
  LEAST_WIDTH,
  MOST_COLUMNS,
  MOST_WIDTH,
  NAME,
  isMetric,
  split,
  usualColumns,
  usualWidth
} from './columns';

const TEXTS: readonly string[] = [NAME, 'user', 'status', 'id'];

/** How the list of an experiment looks: its columns, their widths, its order. It is left so for the next time. */
export class Look {
  constructor(
    private _kept: Kept,
    private _place: 'side' | 'tab'
  ) {}

  get columns(): readonly IColumn[] {
    return this._columns;
  }

  /** Null for the newest first. */
  get sort(): ISort | null {
    return this._sort;
  }

  get nameWidth(): number {
    return this._nameWidth ?? usualWidth(NAME, this._isNarrow);
  }

  /** With room for small curves where there are some. */
  width({ key, width }: IColumn, hasCurve: boolean): number {
    return width ?? usualWidth(key, this._isNarrow, hasCurve);
  }

  /** The columns that the server has to be asked for. */
  get asked(): readonly string[] {
    return this._columns
      .map(({ key }) => key)
      .filter(key => split(key)[0] !== 'fact');
  }

  /** The names of the metrics among them. */
  get metrics(): readonly string[] {
    return this._columns.flatMap(({ key }) =>
      isMetric(key) ? [split(key)[1]] : []
    );
  }

  /** Take an experiment's look as it was left. */
  take(experiment: string | null): void {
    const view = experiment ? this._kept.view(this._place, experiment) : null;
    this._experiment = experiment;
    this._sort = view?.sort ?? null;
    this._nameWidth = view?.nameWidth ?? null;
    this._isChosen = !!view?.columns;
    this._columns = view?.columns ?? usualColumns(null, this._isNarrow);
  }

  /** Take what there is to show. Returns whether other columns are shown now. */
  learn(keys: IKeys | null): boolean {
    const before = this.asked.join();
    if (!this._isChosen) {
      this._columns = usualColumns(keys, this._isNarrow);
    }
    return this.asked.join() !== before;
  }

  setColumns(columns: readonly IColumn[]): void {
    this._columns = columns.slice(0, MOST_COLUMNS);
    this._isChosen = true;
    this._keep();
  }

  /** As it was before anything was chosen. */
  reset(keys: IKeys | null): void {
    this._isChosen = false;
    this._nameWidth = null;
    this._columns = usualColumns(keys, this._isNarrow);
    this._keep();
  }

  resize(key: string, width: number): void {
    const rounded = Math.round(
      Math.min(MOST_WIDTH, Math.max(LEAST_WIDTH, width))
    );
    if (key === NAME) {
      this._nameWidth = rounded;
      this._keep();
    } else {
      this.setColumns(
        this._columns.map(column =>
          column.key === key ? { ...column, width: rounded } : column
        )
      );
    }
  }

  /** By this column: first with the greatest first, then the other way round, then as at first. */
  sortBy(key: string): void {
    const isText = TEXTS.includes(key);
    const { _sort: sort } = this;
    if (sort?.key !== key) {
      this._sort = { key, isDescending: !isText };
    } else if (sort.isDescending !== isText) {
      this._sort = { key, isDescending: isText };
    } else {
      this._sort = null;
    }
    this._keep();
  }

  private get _isNarrow(): boolean {
    return this._place === 'side';
  }

  private _keep(): void {
    if (this._experiment) {
      this._kept.setView(this._place, this._experiment, {
        columns: this._isChosen ? this._columns : null,
        sort: this._sort,
        nameWidth: this._nameWidth
      });
    }
  }

  private _columns: readonly IColumn[] = [];
  private _experiment: string | null = null;
  private _isChosen = false;
  private _nameWidth: number | null = null;
  private _sort: ISort | null = null;
}
