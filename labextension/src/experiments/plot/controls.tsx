import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { Select } from '../../shared/controls';
import type { PlotSettings } from './settings';

/** How all charts are drawn. */
export function PlotControls(props: {
  readonly settings: PlotSettings;
  readonly trans: TranslationBundle;
  readonly children?: React.ReactNode;
}): React.ReactElement {
  const { settings, trans, children } = props;
  const { axis, ignoresOutliers, isLog, kind, showsEnvelope, weight } =
    settings.value;
  const smoothing = trans.__('Smoothing');
  return (
    <div
      className="jp-AidpPlot-controls"
      role="group"
      aria-label={trans.__('How charts are drawn')}
    >
      {children}
      <Select
        label={trans.__('X axis')}
        value={axis}
        options={[
          ['step', trans.__('x: step')],
          ['relative', trans.__('x: since start')],
          ['time', trans.__('x: time of day')]
        ]}
        onChange={value => settings.set({ axis: value })}
      />
      <label className="jp-AidpPlot-smoothing">
        <span>{smoothing}</span>
        <input
          type="range"
          min={0}
          max={0.99}
          step={0.01}
          value={weight}
          aria-label={smoothing}
          aria-valuetext={weight > 0 ? weight.toFixed(2) : trans.__('none')}
          onChange={({ currentTarget }) =>
            settings.set({ weight: Number(currentTarget.value) })
          }
        />
        <output>{weight.toFixed(2)}</output>
      </label>
      {weight > 0 && (
        <Select
          label={trans.__('Kind of smoothing')}
          title={trans.__(
            'By distance: curves with many points and with few are smoothed alike, as in W&B. By count: from point to point, as in TensorBoard.'
          )}
          value={kind}
          options={[
            ['time', trans.__('by distance')],
            ['count', trans.__('by count')]
          ]}
          onChange={value => settings.set({ kind: value })}
        />
      )}
      <Toggle
        label={trans.__('log y')}
        isOn={isLog}
        onChange={isOn => settings.set({ isLog: isOn })}
      />
      <Toggle
        label={trans.__('no outliers')}
        title={trans.__('Let a few extreme values not decide the y axis')}
        isOn={ignoresOutliers}
        onChange={isOn => settings.set({ ignoresOutliers: isOn })}
      />
      <Toggle
        label={trans.__('range')}
        title={trans.__(
          'Shade between the least and the greatest value that each drawn point stands for'
        )}
        isOn={showsEnvelope}
        onChange={isOn => settings.set({ showsEnvelope: isOn })}
      />
    </div>
  );
}

/** A button that is on or off. */
export function Toggle(props: {
  readonly label: string;
  readonly title?: string;
  readonly isOn: boolean;
  readonly onChange: (isOn: boolean) => void;
}): React.ReactElement {
  const { label, title, isOn, onChange } = props;
  return (
    <button
      type="button"
      className="jp-AidpToggle"
      aria-pressed={isOn}
      title={title ?? label}
      onClick={() => onChange(!isOn)}
    >
      {label}
    </button>
  );
}

/** The mark of a line: its colour and dashes. */
export function Swatch(props: {
  readonly color: string;
  readonly dash: readonly number[];
}): React.ReactElement {
  return (
    <svg className="jp-AidpSwatch" width="18" height="8" aria-hidden>
      <line
        x1="0"
        y1="4"
        x2="18"
        y2="4"
        stroke={props.color}
        strokeWidth="2.5"
        strokeDasharray={props.dash.join(' ')}
      />
    </svg>
  );
}
