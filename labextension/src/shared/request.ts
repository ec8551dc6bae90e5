import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';

import { events } from './stream';

/**
 * What went wrong, in words for the user.
 *
 * `code` is stable and is what programs compare. Most codes are the server's; three are made here:
 * `offline_server` (no answer at all), `not_found` (an answer, but not from aidp: its server part is missing)
 * and `http_error` (any other answer that is not aidp's).
 */
export class AidpError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly status = 0,
    readonly details: Readonly<Record<string, unknown>> = {}
  ) {
    super(message);
    this.name = 'AidpError';
  }

  /** What the user can do about it, where there is something. */
  get nextStep(): string | null {
    const step = this.details['next_step'];
    return typeof step === 'string' && step ? step : null;
  }

  /** Read the body that every aidp error has; null when this is none. */
  static fromBody(body: unknown, status = 0): AidpError | null {
    const error = (body as { error?: Record<string, unknown> } | null)?.error;
    if (typeof error?.code !== 'string') {
      return null;
    }
    const { code, message, details } = error;
    return new AidpError(
      code,
      typeof message === 'string' && message ? message : code,
      status,
      (details ?? {}) as Record<string, unknown>
    );
  }
}

/** Any caught value as an AidpError. */
export function asAidpError(error: unknown): AidpError {
  return error instanceof AidpError
    ? error
    : new AidpError('internal', String(error));
}

/** aidp's server part: the only place that calls fetch. */
export class AidpServer {
  constructor(
    private _settings: ServerConnection.ISettings,
    private _trans: TranslationBundle
  ) {}

  /** Call an endpoint below `<base_url>aidp/` and read its JSON. */
  async json<T>(path: string, init: RequestInit = {}): Promise<T> {
    const response = await this.open(path, init);
    return (await response.json()) as T;
  }

  /** Call an endpoint and hand back the open answer, for streams and headers. */
  async open(path: string, init: RequestInit = {}): Promise<Response> {
    const url = URLExt.join(this._settings.baseUrl, 'aidp', path);
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, this._settings);
    } catch {
      init.signal?.throwIfAborted();
      throw this.lost();
    }
    if (!response.ok) {
      throw await this._refusal(response);
    }
    return response;
  }

  /** The events of a streamed answer until the server says that it is done; `signal` is the request's. */
  async *events<T>(
    response: Response,
    signal: AbortSignal
  ): AsyncGenerator<T, void, undefined> {
    try {
      for await (const data of events(response.body!)) {
        if (data === '[DONE]') {
          return;
        }
        const event = JSON.parse(data) as T;
        const error = AidpError.fromBody(event);
        if (error) {
          throw error;
        }
        yield event;
      }
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof AidpError ? error : this.lost();
    }
    // The server always says when it is done: without that, something between broke off.
    throw this.lost();
  }

  /** The error for a connection that failed or broke off. */
  lost(): AidpError {
    return new AidpError(
      'offline_server',
      this._trans.__('The Jupyter server does not answer.'),
      0,
      { next_step: this._trans.__('Check that it is still running.') }
    );
  }

  private async _refusal(response: Response): Promise<AidpError> {
    const { status } = response;
    const body: unknown = await response.json().catch(() => null);
    const error = AidpError.fromBody(body, status);
    if (error) {
      return error;
    }
    if (status === 404) {
      return new AidpError(
        'not_found',
        this._trans.__('aidp is not running in this Jupyter server.'),
        status,
        {
          next_step: this._trans.__(
            'Install aidp-ext beside JupyterLab and restart the server.'
          )
        }
      );
    }
    return new AidpError(
      'http_error',
      this._trans.__('The Jupyter server answered with status %1.', status),
      status
    );
  }
}
