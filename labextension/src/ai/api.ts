import { AidpError } from '../shared/request';
import type { AidpServer } from '../shared/request';
import { events } from '../shared/stream';

/** Where a model runs: on this machine or in the cloud. */
export type Locality = 'local' | 'cloud';

/** How the router may choose. */
export interface IMode {
  readonly mode: string;
  readonly label: string;
  readonly description: string;
}

export interface IModes {
  readonly mode: string;
  readonly modes: readonly IMode[];
}

/** A model that the router weighed, with its reason in code and words. */
export interface IOffer {
  readonly route: string;
  readonly label: string;
  readonly locality: Locality;
  readonly reason: string;
  readonly message: string;
}

/** What the router would do with a task now; `route` is null when no model can be reached. */
export interface IDecision {
  readonly mode: string;
  readonly route: string | null;
  readonly label: string | null;
  readonly locality: Locality | null;
  readonly reason: string;
  readonly message: string;
  readonly loaded: boolean | null;
  readonly next_step: string | null;
  readonly offers: readonly IOffer[];
  readonly refused: readonly IOffer[];
}

export type ProviderState =
  'ready' | 'unreachable' | 'error' | 'unconfigured' | 'disabled';

export interface IProvider {
  readonly name: string;
  readonly label: string;
  readonly locality: Locality;
  readonly state: ProviderState;
  readonly message: string;
  readonly next_step: string | null;
  readonly models: readonly { readonly id: string }[];
}

export interface ICompletionRequest {
  readonly prompt: string;
  readonly suffix: string;
  readonly max_tokens: number;
  readonly temperature: number;
  readonly stop?: readonly string[];
}

/** Which model answers, and why: known before the first word. */
export interface IAnswered {
  readonly route: string;
  readonly reason: string;
  readonly locality: Locality | null;
  readonly attempts: number;
}

export interface ICompletion {
  readonly by: IAnswered;
  readonly text: AsyncGenerator<string, void, undefined>;
}

/** The router's HTTP interface, typed. */
export class AiApi {
  constructor(private _server: AidpServer) {}

  mode(): Promise<IModes> {
    return this._server.json('ai/mode');
  }

  setMode(mode: string): Promise<IModes> {
    return this._server.json('ai/mode', {
      method: 'PUT',
      body: JSON.stringify({ mode })
    });
  }

  route(task: string): Promise<IDecision> {
    return this._server.json('ai/route', {
      method: 'POST',
      body: JSON.stringify({ task })
    });
  }

  /** `probe` asks the providers again now, instead of answering from what is known. */
  async providers(probe = false): Promise<readonly IProvider[]> {
    const { providers } = await this._server.json<{ providers: IProvider[] }>(
      probe ? 'ai/providers?refresh=1' : 'ai/providers'
    );
    return providers;
  }

  /** Fill in the middle. Aborting closes the connection, which also stops the model. */
  async complete(
    request: ICompletionRequest,
    signal: AbortSignal
  ): Promise<ICompletion> {
    const response = await this._server.open('ai/v1/completions', {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'X-AIDP-Task': 'complete'
      },
      body: JSON.stringify({ model: 'auto', ...request, stream: true }),
      signal
    });
    const { headers } = response;
    const locality = headers.get('X-AIDP-Locality');
    return {
      by: {
        route: headers.get('X-AIDP-Route') ?? '',
        reason: headers.get('X-AIDP-Reason') ?? '',
        locality:
          locality === 'local' || locality === 'cloud' ? locality : null,
        attempts: Number(headers.get('X-AIDP-Attempts') ?? 1)
      },
      text: this._text(response, signal)
    };
  }

  private async *_text(
    response: Response,
    signal: AbortSignal
  ): AsyncGenerator<string, void, undefined> {
    try {
      for await (const data of events(response.body!)) {
        if (data === '[DONE]') {
          return;
        }
        const event = JSON.parse(data) as {
          choices?: { text?: string }[];
        };
        const error = AidpError.fromBody(event);
        if (error) {
          throw error;
        }
        const text = event.choices?.[0]?.text;
        if (text) {
          yield text;
        }
      }
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof AidpError ? error : this._server.lost();
    }
    // The server always says when it is done: without that, something between broke off.
    throw this._server.lost();
  }
}
