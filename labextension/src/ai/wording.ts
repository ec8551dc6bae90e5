import type { TranslationBundle } from '@jupyterlab/translation';

import type { IProvider } from './api';
import type { AiState, IAiModel } from './tokens';

/** The status in words: `text` for one line, `title` for all there is to say. */
export interface IStatus {
  readonly symbol: '◆' | '⦸';
  readonly text: string;
  readonly title: string;
}

type Known = Pick<
  IAiModel,
  'state' | 'known' | 'mode' | 'modes' | 'decision' | 'error'
>;

/** Say in one line how AI is doing, with what to do about it where something is wrong. */
export function status(model: Known, trans: TranslationBundle): IStatus {
  const { state, mode, modes, decision } = model;
  const isOffline = mode === 'offline';
  const label = modes.find(one => one.mode === mode)?.label ?? mode;
  const words = line(model, trans);
  return {
    symbol: isOffline ? '⦸' : '◆',
    text: isOffline && model.known ? trans.__('offline · %1', words) : words,
    title: [
      state === 'local' || state === 'cloud'
        ? `${decision!.label} · ${place(state, trans)}`
        : '',
      sentence(model).replaceAll('`', ''),
      model.known ? trans.__('Mode: %1', label) : ''
    ]
      .filter(Boolean)
      .join('\n')
  };
}

/** What the user should know now: what is wrong and what to do, or why this model was chosen. */
export function sentence({
  error,
  decision
}: Pick<Known, 'error' | 'decision'>): string {
  const nextStep = error?.nextStep ?? decision?.next_step; // with no model left, what to do about that
  return error
    ? [error.message, nextStep].filter(Boolean).join(' ')
    : [decision?.message, decision?.next_step].filter(Boolean).join(' ');
}

/** A locality or state in one word. */
export function place(state: AiState, trans: TranslationBundle): string {
  switch (state) {
    case 'local':
      return trans.__('local');
    case 'cloud':
      return trans.__('cloud');
    case 'none':
      return trans.__('no model');
    case 'waiting':
      return trans.__('waiting');
    case 'error':
      return trans.__('error');
  }
}

function line(model: Known, trans: TranslationBundle): string {
  const { state, mode, decision, error } = model;
  switch (state) {
    case 'local':
    case 'cloud':
      return mode === 'offline'
        ? decision!.label!
        : `${place(state, trans)} · ${decision!.label}`;
    case 'waiting':
      return trans.__(
        'waiting for %1…',
        decision?.label ?? trans.__('the model')
      );
    case 'error':
      return error!.message;
    case 'none':
      if (!model.known) {
        return trans.__('AI');
      }
      if (error) {
        return trans.__('no AI — aidp is not running in the server');
      }
      switch (mode) {
        case 'local':
        case 'offline':
          return trans.__('no model — start Ollama');
        case 'cloud':
          return trans.__('no model — add a key');
        default:
          return trans.__('no model — start Ollama or add a key');
      }
  }
}

/** How a provider is doing, in a word or two. */
export function providerState(
  { state, models }: Pick<IProvider, 'state' | 'models'>,
  trans: TranslationBundle
): string {
  switch (state) {
    case 'ready':
      return trans._n('%1 model', '%1 models', models.length);
    case 'unreachable':
      return trans.__('not reachable');
    case 'unconfigured':
      return trans.__('not set up');
    case 'disabled':
      return trans.__('off');
    case 'error':
      return trans.__('error');
  }
}
