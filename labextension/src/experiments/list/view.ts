import type { IDisposable } from '@lumino/disposable';
import { Throttler } from '@lumino/polling';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AidpError } from '../../shared/request';
import { Resource } from '../../shared/resource';
import { positionOf } from '../api';
import type { ExperimentsModel } from '../model';
import type {
  IExperiment,
  IKeys,
  IRow,
  IRunQuestion,
  IRunsNews,
  Stage
} from '../wire';
import type { IColumn } from './columns';
import { orderBy } from './columns';
import type { Facet, IOfCell } from './filter';
import { wholeFilter } from './filter';
import { Look } from './look';
import { Selection } from './selection';
import { Sparks, growing } from './sparks';
import { RunWindow } from './window';

/** Of how many running runs the curves grow as one looks. */
const MOST_GROWING = 20;

/** New runs that come together are one reason to look for new columns. */
const GATHER_MS = 1_500;

/** The list of one panel: which runs, in which order, with which columns. */
export class RunsView implements IDisposable {
  constructor(
    readonly model: ExperimentsModel,
    /** `side` or `tab`: each is left with columns of its own. */
    readonly place: 'side' | 'tab'
  ) {
    const { api, kept, live } = model;
    this.window = new RunWindow((offset, limit, signal) =>
      api.runs({ ...this.question, offset, limit }, signal)
    );
    this.selection = new Selection(this.window);
    this.look = new Look(kept, place);
    this.sparks = new Sparks(api);
    this.keys = new Resource<IKeys>(signal =>
      api.keys({ experiment: this._experiment! }, signal)
    );
    this.window.changed.connect(() => this._emit());
    this.selection.changed.connect(() => this._emit());
    this.keys.changed.connect(() => this._learnt());
    model.changed.connect(this._modelChanged, this);
    model.acted.connect(this._reload, this);
    model.hiddenChanged.connect(this._hiddenChanged, this);
    live.runs.connect(this._hear, this);
    live.points.connect(this._grow, this);
    live.resync.connect(this._reload, this);
    this._experiment = kept.chosen(place);
    this.look.take(this._experiment);
  }

  readonly keys: Resource<IKeys>;
  readonly look: Look;
  readonly selection: Selection;
  readonly sparks: Sparks;
  readonly window: RunWindow;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The list begins at its top again. */
  get restarted(): ISignal<this, void> {
    return this._restarted;
  }

  /** The experiment that is shown; null until they are known, and where there is none. */
  get experiment(): IExperiment | null {
    return this.model.find(this._experiment);
  }

  /** What the user wrote. */
  get text(): string {
    return this._text;
  }

  get facet(): Facet | null {
    return this._facet;
  }

  /** The cell whose runs are shown only. */
  get cell(): IOfCell | null {
    return this._cell;
  }

  get stage(): Stage {
    return this._stage;
  }

  get showsHidden(): boolean {
    return this._showsHidden;
  }

  get hidden(): readonly string[] {
    return this._experiment ? this.model.hidden(this._experiment) : [];
  }

  get isNarrowed(): boolean {
    return this._text.trim() !== '' || !!this._facet || !!this._cell;
  }

  /** What is wrong with what the user wrote; null where something else is, or nothing. */
  get filterError(): AidpError | null {
    const { error } = this.window;
    return error?.code === 'invalid_request' && positionOf(error) !== null
      ? error
      : null;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Whether somebody sees it: only then is it asked and heard. */
  set isVisible(isVisible: boolean) {
    if (isVisible !== this._isVisible) {
      this._isVisible = isVisible;
      if (isVisible) {
        this._modelChanged();
        this._reload();
      }
      this._watch();
    }
  }

  /** What is asked of the server, without which page of it. */
  get question(): Omit<IRunQuestion, 'offset' | 'limit'> {
    return {
      experiments: this._experiment ? [this._experiment] : [],
      filter: wholeFilter(this._text, {
        facet: this._facet,
        cell: this._cell,
        hidden: this._showsHidden ? [] : this.hidden
      }),
      order_by: orderBy(this.look.sort),
      view: this._stage,
      columns: this.look.asked
    };
  }

  choose(experiment: string): void {
    if (experiment !== this._experiment) {
      this._experiment = experiment;
      this.model.kept.choose(this.place, experiment);
      this._text = '';
      this._facet = null;
      this._cell = null;
      this._stage = 'active';
      this.look.take(experiment);
      this._begin();
    }
  }

  /** Show the runs of a cell only. */
  showCell(experiment: string, cell: IOfCell): void {
    this.choose(experiment);
    this._text = '';
    this._facet = null;
    this._cell = cell;
    this._ask();
  }

  write(text: string): void {
    if (text !== this._text) {
      this._text = text;
      this._ask();
    }
  }

  setFacet(facet: Facet | null): void {
    this._facet = facet;
    this._ask();
  }

  /** Show all runs again. */
  clear(): void {
    this._text = '';
    this._facet = null;
    this._cell = null;
    this._ask();
  }

  clearCell(): void {
    this._cell = null;
    this._ask();
  }

  setStage(stage: Stage): void {
    if (stage !== this._stage) {
      this._stage = stage;
      this._ask();
    }
  }

  showHidden(isShown: boolean): void {
    this._showsHidden = isShown;
    this._ask();
  }

  sortBy(key: string): void {
    this.look.sortBy(key);
    this._ask(true);
  }

  setColumns(columns: readonly IColumn[]): void {
    const before = this.look.asked;
    this.look.setColumns(columns);
    // Another order or width shows what is known.
    this._columnsChanged(this.look.asked.some(key => !before.includes(key)));
  }

  resetColumns(): void {
    this.look.reset(this.keys.value);
    this._columnsChanged(true);
  }

  resize(key: string, width: number): void {
    this.look.resize(key, width);
    this._emit();
  }

  /** These places are seen. */
  need(first: number, last: number): void {
    this.window.need(first, last);
    this._seen = [first, last];
    const rows = this.seen;
    this.sparks.need(rows, this.look.metrics);
    const runs = growing(rows).slice(0, MOST_GROWING).join();
    if (runs !== this._growing) {
      this._growing = runs;
      this._watch();
    }
  }

  /** The rows that are seen and known. */
  get seen(): readonly IRow[] {
    const [first, last] = this._seen;
    const rows: IRow[] = [];
    for (let index = first; index <= last; index++) {
      const row = this.window.row(index);
      if (row) {
        rows.push(row);
      }
    }
    return rows;
  }

  /** Ask for everything anew. */
  async refresh(): Promise<void> {
    await this.model.list.load();
    if (this._experiment) {
      await Promise.all([this.keys.load(), this.window.refresh()]);
    }
  }

  dispose(): void {
    this._isDisposed = true;
    this.model.live.watch(this, null);
    this._learn.dispose();
    this.window.dispose();
    this.keys.dispose();
    this.sparks.dispose();
    Signal.clearData(this);
  }

  private _hear(_: unknown, news: IRunsNews): void {
    const { experiment, rows, removed, version } = news;
    if (experiment !== this._experiment || !this._isVisible) {
      return;
    }
    // One that is deleted or restored is not among these any more.
    const here = rows.filter(({ stage }) => stage === this._stage);
    const gone = rows.filter(({ stage }) => stage !== this._stage);
    const lost = [...removed, ...gone.map(({ id }) => id)];
    const isNew = here.some(({ id }) => this.window.indexOf(id) < 0);
    this.selection.hear(here);
    this.selection.remove(lost);
    const mayMove = this.isNarrowed || this.look.sort !== null;
    this.window.hear(here, lost, mayMove);
    if (rows.length === 0 && version !== this.window.version) {
      // It says as of when it will tell: what was before that may have been missed.
      this.window.look();
    }
    // Metrics that none had before come with a new run, with its first values, which may take minutes, or by its end.
    const isBare = this.keys.value?.metrics.length === 0;
    if (isNew || isBare || here.some(({ status }) => status !== 'RUNNING')) {
      void this._learn.invoke().catch(() => undefined);
    }
  }

  private _grow(_: unknown, points: Parameters<Sparks['add']>[0]): void {
    this.sparks.add(points);
  }

  /** The experiments may be other ones now. */
  private _modelChanged(): void {
    const { kept, list, latest } = this.model;
    const shown = this.experiment;
    // Who has not chosen one, and sees none, is shown the one where something happens.
    const isChosen = kept.chosen(this.place) === this._experiment;
    const isIdle = !shown || (!isChosen && shown.runs === 0);
    if (list.value && latest && isIdle && latest.id !== this._experiment) {
      this._experiment = latest.id;
      this.look.take(latest.id);
      if (this._isVisible) {
        this._begin();
      }
    }
    this._emit();
  }

  private _hiddenChanged(_: unknown, experiment: string): void {
    if (experiment === this._experiment) {
      this.selection.clear();
      this._reload();
    }
  }

  private _reload(): void {
    if (this._isVisible && this._experiment && this.model.list.value) {
      void this.window.refresh();
      void this.keys.load();
    }
  }

  private _begin(): void {
    void this.keys.load();
    this._ask(false, true);
    this._watch();
  }

  /** Ask another question. */
  private _ask(keepsSelection = false, isElsewhere = false): void {
    this.selection.restart(keepsSelection);
    this.window.restart(isElsewhere);
    this._restarted.emit();
  }

  private _learnt(): void {
    if (this.look.learn(this.keys.value)) {
      this._columnsChanged(true);
    }
    this._emit();
  }

  private _columnsChanged(isAsked: boolean): void {
    if (isAsked) {
      void this.window.refresh();
    }
    this._watch();
    this._emit();
  }

  private _watch(): void {
    const { live } = this.model;
    if (!this._isVisible || !this._experiment) {
      live.watch(this, null);
      return;
    }
    live.watch(this, {
      experiments: [this._experiment],
      runs: this._growing ? this._growing.split(',') : [],
      columns: this.look.asked
    });
  }

  private _emit(): void {
    if (!this._isDisposed) {
      this._changed.emit();
    }
  }

  private _cell: IOfCell | null = null;
  private _changed = new Signal<this, void>(this);
  private _experiment: string | null = null;
  private _facet: Facet | null = null;
  private _growing = '';
  private _isDisposed = false;
  private _isVisible = false;
  private _learn = new Throttler(() => this.keys.load(), {
    limit: GATHER_MS,
    edge: 'trailing'
  });
  private _restarted = new Signal<this, void>(this);
  private _seen: readonly [number, number] = [0, -1];
  private _showsHidden = false;
  private _stage: Stage = 'active';
  private _text = '';
}
