import type { TranslationBundle } from '@jupyterlab/translation';

import type { AiState, IAiModel } from './tokens';
import type { KeySource, Privacy, ProviderState } from './wire';

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
      if (decision?.from_gateway) {
        return mode === 'local' || mode === 'offline'
          ? trans.__('no model — choose another mode')
          : trans.__('no model — ask your hub’s admin');
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
  {
    state,
    models
  }: { readonly state: ProviderState; readonly models: readonly unknown[] },
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

/** What a call is for, in a word. */
export function taskName(task: string, trans: TranslationBundle): string {
  switch (task) {
    case 'chat':
      return trans.__('chat');
    case 'complete':
      return trans.__('complete');
    case 'explain':
      return trans.__('explain');
    case 'fix':
      return trans.__('fix');
    case 'tests':
      return trans.__('tests');
    case 'docs':
      return trans.__('docs');
    case 'refactor':
      return trans.__('refactor');
    case 'review':
      return trans.__('review');
    case 'commit-message':
      return trans.__('commit message');
    case 'agent':
      return trans.__('agent');
    case 'embed':
      return trans.__('embed');
    default:
      return task;
  }
}

/** What became of a call; empty where there is nothing to say. */
export function outcomeName(outcome: string, trans: TranslationBundle): string {
  switch (outcome) {
    case 'ok':
      return '';
    case 'running':
      return trans.__('running…');
    case 'cancelled':
      return trans.__('cancelled');
    case 'superseded':
      return trans.__('replaced by a newer one');
    case 'budget_exhausted':
      return trans.__('budget used up');
    case 'rate_limited':
      return trans.__('too many requests');
    case 'policy_refused':
      return trans.__('not allowed');
    case 'no_model_available':
      return trans.__('no model');
    case 'context_length_exceeded':
      return trans.__('too long');
    case 'upstream_unreachable':
      return trans.__('not reachable');
    case 'upstream_timeout':
      return trans.__('took too long');
    case 'upstream_incomplete':
    case 'lost':
      return trans.__('broke off');
    case 'upstream_rejected':
      return trans.__('refused by the provider');
    case 'upstream_error':
    case 'upstream_invalid_response':
    case 'internal':
      return trans.__('failed');
    default:
      return outcome.replaceAll('_', ' ');
  }
}

/** Whether a call went wrong: neither under way, nor answered, nor no longer wanted. */
export function isFailure(outcome: string): boolean {
  return !['ok', 'running', 'cancelled', 'superseded'].includes(outcome);
}

/** How far a text may travel. */
export function privacyName(
  privacy: Privacy,
  trans: TranslationBundle
): string {
  switch (privacy) {
    case 'local':
      return trans.__('Local models only');
    case 'redact':
      return trans.__('Secrets replaced before it leaves');
    case 'cloud':
      return trans.__('May leave as it is');
  }
}

export function keySourceName(
  source: KeySource,
  trans: TranslationBundle
): string {
  switch (source) {
    case 'environment':
      return trans.__('Key from the environment');
    case 'keyring':
      return trans.__('Key in the keyring');
    case 'file':
      return trans.__('Key in an encrypted file');
    case 'none':
      return trans.__('No key yet');
    case 'not_needed':
      return trans.__('Needs no key');
  }
}

/** What a model can do, in a word or two. */
export function capabilityName(
  capability: string,
  trans: TranslationBundle
): string {
  switch (capability) {
    case 'chat':
      return trans.__('chat');
    case 'complete':
      return trans.__('complete');
    case 'fim':
      return trans.__('fill in');
    case 'tools':
      return trans.__('tools');
    case 'vision':
      return trans.__('images');
    case 'json':
      return trans.__('JSON');
    case 'embed':
      return trans.__('embed');
    default:
      return capability;
  }
}
