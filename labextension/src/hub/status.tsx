import { UseSignal } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import { Button } from '../shared/panel';
import { Prose } from '../shared/prose';
import { StatusItem, StatusPopup } from '../shared/status';
import type { GpuModel } from './model';
import { CommandIDs } from './tokens';
import type { IWords } from './wording';
import { line, overview, sentence } from './wording';

export interface IProps extends IWords {
  readonly model: GpuModel;
  readonly commands: CommandRegistry;
  /** Leads to the hub, where a server is stopped and started; null where nothing does. */
  readonly restart: (() => void) | null;
}

/** The status bar's item: the lease or the place in line, and a popup with the rest. */
export class GpuStatus extends StatusItem {
  constructor(private _props: IProps) {
    super();
  }

  protected override makePopup(): StatusPopup {
    void this._props.model.look();
    return new GpuPopup(this._props);
  }

  protected override render(): React.ReactElement {
    const { model } = this._props;
    return (
      <UseSignal signal={model.changed}>
        {() =>
          model.gpus && (
            <button
              type="button"
              className="jp-AidpStatus jp-StatusBar-TextItem"
              data-aidp="gpu"
              data-urgent={
                model.gpus.lease?.ends_ms !== null && !!model.gpus.lease
              }
              title={sentence(model.gpus, this._props)}
              aria-haspopup="dialog"
              aria-expanded={this.isOpen}
              onClick={() => this.toggle()}
            >
              <span className="jp-AidpStatus-text">
                {line(model.gpus, this._props)}
              </span>
            </button>
          )
        }
      </UseSignal>
    );
  }
}

class GpuPopup extends StatusPopup {
  constructor(private _props: IProps) {
    super(_props.trans.__('GPU'));
  }

  protected override render(): React.ReactElement {
    const { model } = this._props;
    return (
      <UseSignal signal={model.changed}>
        {() => <Overview {...this._props} host={this.node} />}
      </UseSignal>
    );
  }
}

function Overview(
  props: IProps & { readonly host: HTMLElement }
): React.ReactElement | null {
  const { model, trans, host } = props;
  const { gpus, error } = model;
  React.useEffect(() => {
    (host.querySelector<HTMLElement>('button') ?? host).focus();
  }, [host]);
  if (!gpus) {
    return null;
  }
  return (
    <div className="jp-AidpStatus-overview" data-aidp="gpu-popup">
      <section role="status">
        <h3>{gpus.lease?.kind ?? trans.__('GPU')}</h3>
        <p>{sentence(gpus, props)}</p>
        {error && (
          <p className="jp-AidpStatus-problem">
            <Prose text={`${error.message} ${error.nextStep ?? ''}`} />
          </p>
        )}
        {gpus.problem && (
          <p className="jp-AidpStatus-problem">
            <Prose text={gpus.problem} />
          </p>
        )}
      </section>
      <section>
        <h4>{trans.__('On this hub')}</h4>
        <p>{overview(gpus, props)}</p>
      </section>
      <section className="jp-AidpGpu-buttons">
        <Wishes {...props} />
      </section>
    </div>
  );
}

/** What can be done now. */
function Wishes({
  model,
  commands,
  restart,
  trans
}: IProps): React.ReactElement {
  const { lease, place, gpus } = model.gpus!;
  const run = (command: string) => void commands.execute(command);
  const isFree = gpus.some(gpu => gpu.is_free);
  return (
    <>
      {lease?.is_held && (
        <Button
          disabled={model.isBusy || lease.is_wanted}
          onClick={() => run(CommandIDs.extend)}
        >
          {trans.__('Extend')}
        </Button>
      )}
      {!lease?.is_held && restart && (lease || isFree) && (
        <Button onClick={restart}>{trans.__('Open the hub')}</Button>
      )}
      {!lease && !place && !isFree && (
        <Button disabled={model.isBusy} onClick={() => run(CommandIDs.wait)}>
          {trans.__('Wait for a GPU')}
        </Button>
      )}
      {(place ?? (lease && !lease.is_held)) && (
        <Button disabled={model.isBusy} onClick={() => run(CommandIDs.leave)}>
          {place ? trans.__('Leave the line') : trans.__('Decline')}
        </Button>
      )}
    </>
  );
}
