import { asAidpError } from '../shared/request';
import type { AiApi } from './api';
import { mark } from './moments';
import type { Suggestion } from './suggestion';
import { untilNextWord } from './text';
import type { IAiModel, ICall } from './tokens';
import type { IOrigin } from './wire';

/** How a model is asked. */
export interface IManner {
  readonly maxTokens: number;
  readonly temperature: number;
  /** Wait so many milliseconds first; an abort meanwhile costs nothing. */
  readonly delay: number;
}

/** Asks models for suggestions and tells the status how it goes. */
export class Asker {
  constructor(
    private _api: Pick<AiApi, 'complete'>,
    private _model: Pick<IAiModel, 'track'>
  ) {}

  /** Fill a suggestion. Resolves with whether it came to its end; never rejects. */
  async ask(
    suggestion: Suggestion,
    origin: IOrigin,
    { maxTokens, temperature, delay }: IManner
  ): Promise<boolean> {
    const { before, prefix, suffix } = suggestion.origin;
    const { signal } = suggestion.abort;
    let call: ICall | undefined;
    try {
      if (delay > 0) {
        await pause(delay, signal);
      }
      call = this._model.track();
      mark('request');
      const { by, text } = await this._api.complete(
        {
          prompt: untilNextWord(before + prefix),
          suffix,
          max_tokens: maxTokens,
          temperature,
          ...(suggestion.isSingleLine && { stop: ['\n'] })
        },
        origin,
        signal
      );
      call.answeredBy(by);
      suggestion.route = by.route;
      let isFirst = true;
      for await (const piece of text) {
        if (isFirst) {
          mark('token');
          isFirst = false;
        }
        call.arrived();
        if (!suggestion.append(piece)) {
          // Leaving closes the connection, which stops the model.
          break;
        }
      }
      call.done();
      return true;
    } catch (error) {
      if (signal.aborted) {
        call?.cancelled();
      } else {
        call?.failed(asAidpError(error));
      }
      return false;
    } finally {
      suggestion.finish();
    }
  }
}

/** Wait; an abort ends it with an error. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    });
  });
}
