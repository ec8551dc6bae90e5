import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { useSignals } from '../../shared/hooks';
import type { Axis } from '../wire';
import type { SmoothingKind } from './smoothing';

const KEY = 'aidp-ext:experiments-charts';

/** How charts are drawn: the same for all of a user's charts, also after a reload. */
export interface IPlotSettings {
  readonly axis: Axis;
  readonly isLog: boolean;
  readonly kind: SmoothingKind;
  /** 0 to 0.999 */
  readonly weight: number;
  readonly ignoresOutliers: boolean;
  readonly showsEnvelope: boolean;
}

const DEFAULTS: IPlotSettings = {
  axis: 'step',
  isLog: false,
  kind: 'time',
  weight: 0,
  ignoresOutliers: false,
  showsEnvelope: true
};

/** The settings as they are kept. */
export class PlotSettings {
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get value(): IPlotSettings {
    return this._value;
  }

  set(news: Partial<IPlotSettings>): void {
    this._value = { ...this._value, ...news };
    try {
      localStorage.setItem(KEY, JSON.stringify(this._value));
    } catch {
      // A full or forbidden storage: they hold until the page is left.
    }
    this._changed.emit();
  }

  private _changed = new Signal<this, void>(this);
  private _value: IPlotSettings = read();
}

function read(): IPlotSettings {
  try {
    const kept = JSON.parse(
      localStorage.getItem(KEY) ?? '{}'
    ) as Partial<IPlotSettings>;
    const isFit = (Object.keys(DEFAULTS) as (keyof IPlotSettings)[]).every(
      name => !(name in kept) || typeof kept[name] === typeof DEFAULTS[name]
    );
    return isFit ? { ...DEFAULTS, ...kept } : DEFAULTS;
  } catch {
    return DEFAULTS;
  }
}

let shared: PlotSettings | null = null;

/** The page's settings; renders again when they change. */
export function usePlotSettings(): PlotSettings {
  const settings = (shared ??= new PlotSettings());
  useSignals(settings.changed);
  return settings;
}
