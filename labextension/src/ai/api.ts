import type { AidpServer } from '../shared/request';
import type { IContext, IContextQuestion } from './context/wire';
import type {
  IAnswered,
  ICallRecord,
  ICompletion,
  ICompletionRequest,
  IDecision,
  IFeedback,
  IModes,
  IOrigin,
  IPreview,
  IPreviewQuestion,
  IProviders,
  IPullStep,
  IRouteQuestion,
  IRuleChange,
  IRules,
  ITestResult,
  IUsage
} from './wire';

/** The router's HTTP interface, typed. Aborting a signal closes the connection, which also ends the work behind it. */
export class AiApi {
  constructor(private _server: AidpServer) {}

  mode(): Promise<IModes> {
    return this._server.json('ai/mode');
  }

  setMode(mode: string): Promise<IModes> {
    return this._server.json('ai/mode', sent('PUT', { mode }));
  }

  route(question: IRouteQuestion, signal?: AbortSignal): Promise<IDecision> {
    return this._server.json('ai/route', {
      ...sent('POST', question),
      signal
    });
  }

  /** `probe` asks the providers again now, instead of answering from what is known. */
  providers(probe = false): Promise<IProviders> {
    return this._server.json(probe ? 'ai/providers?refresh=1' : 'ai/providers');
  }

  /** Ask a provider anew, with one tiny call. */
  test(provider: string): Promise<ITestResult> {
    const name = encodeURIComponent(provider);
    return this._server.json(`ai/providers/${name}/test`, sent('POST', {}));
  }

  async setKey(provider: string, key: string): Promise<void> {
    const name = encodeURIComponent(provider);
    await this._server.open(`ai/keys/${name}`, sent('PUT', { key }));
  }

  async removeKey(provider: string): Promise<void> {
    const name = encodeURIComponent(provider);
    await this._server.open(`ai/keys/${name}`, { method: 'DELETE' });
  }

  /** Bring a model onto this machine. Ends when it is there. */
  async *pull(
    provider: string,
    model: string,
    signal: AbortSignal
  ): AsyncGenerator<IPullStep, void, undefined> {
    const response = await this._server.open('ai/pull', {
      ...sent('POST', { provider, model }),
      signal
    });
    yield* this._server.events<IPullStep>(response, signal);
  }

  usage(signal?: AbortSignal): Promise<IUsage> {
    return this._server.json('ai/usage', { signal });
  }

  /** The last calls, newest first. */
  async calls(
    limit: number,
    signal?: AbortSignal
  ): Promise<readonly ICallRecord[]> {
    const { calls } = await this._server.json<{ calls: ICallRecord[] }>(
      `ai/calls?limit=${limit}`,
      { signal }
    );
    return calls;
  }

  /** What would leave this machine if a text were sent now. Nothing is sent. */
  preview(
    { text, model, path, privacy }: IPreviewQuestion,
    signal: AbortSignal
  ): Promise<IPreview> {
    const messages = [{ role: 'user', content: text }];
    return this._server.json('ai/preview', {
      ...sent(
        'POST',
        { model, messages },
        {
          'X-AIDP-Task': 'chat',
          ...(privacy && { 'X-AIDP-Privacy': privacy })
        },
        path ? [path] : []
      ),
      signal
    });
  }

  rules(signal?: AbortSignal): Promise<IRules> {
    return this._server.json('ai/rules', { signal });
  }

  setRules({ never_leave, privacy }: IRuleChange): Promise<IRules> {
    return this._server.json('ai/rules', sent('PUT', { never_leave, privacy }));
  }

  /** What of the user's work a model should be told. No model is asked. */
  context(question: IContextQuestion, signal: AbortSignal): Promise<IContext> {
    return this._server.json('ai/context', {
      ...sent('POST', question),
      signal
    });
  }

  /** Arrives also when the page is being left. */
  async feedback(report: IFeedback): Promise<void> {
    await this._server.open('ai/feedback', {
      ...sent('POST', report),
      keepalive: true
    });
  }

  /** Fill in the middle. */
  async complete(
    request: ICompletionRequest,
    { paths, conversation }: IOrigin,
    signal: AbortSignal
  ): Promise<ICompletion> {
    const response = await this._server.open('ai/v1/completions', {
      ...sent(
        'POST',
        { model: 'auto', ...request, stream: true },
        { 'X-AIDP-Task': 'complete', 'X-AIDP-Conversation': conversation },
        paths
      ),
      signal
    });
    return {
      by: answeredBy(response),
      text: this._text(response, signal)
    };
  }

  private async *_text(
    response: Response,
    signal: AbortSignal
  ): AsyncGenerator<string, void, undefined> {
    type Event = { choices?: { text?: string }[] };
    for await (const event of this._server.events<Event>(response, signal)) {
      const text = event.choices?.[0]?.text;
      if (text) {
        yield text;
      }
    }
  }
}

/** Which model answers, and why, by the headers of its answer. */
export function answeredBy({ headers }: Response): IAnswered {
  const locality = headers.get('X-AIDP-Locality');
  return {
    route: headers.get('X-AIDP-Route') ?? '',
    reason: headers.get('X-AIDP-Reason') ?? '',
    locality: locality === 'local' || locality === 'cloud' ? locality : null,
    attempts: Number(headers.get('X-AIDP-Attempts') ?? 1)
  };
}

/** A request with a JSON body; `paths` are the files that its text comes from. */
function sent(
  method: 'POST' | 'PUT',
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
  paths: readonly string[] = []
): RequestInit {
  return {
    method,
    headers: {
      'Content-Type': 'application/json',
      ...headers,
      ...(paths.length > 0 && {
        'X-AIDP-Path': paths
          .map(path => path.split('/').map(encodeURIComponent).join('/'))
          .join(',')
      })
    },
    body: JSON.stringify(body)
  };
}
