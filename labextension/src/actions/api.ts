import { answeredBy } from '../ai/api';
import type { IAnswered } from '../ai/wire';
import type { AidpServer } from '../shared/request';
import type { ActionEvent, IActionAsked, TestEvent } from './wire';

/** An answer that has begun. */
export interface IAnswer {
  readonly by: IAnswered;
  readonly events: AsyncGenerator<ActionEvent, void, undefined>;
}

/** The actions' HTTP interface, typed. Aborting a signal closes the connection, which ends the work behind it. */
export class ActionsApi {
  constructor(private _server: AidpServer) {}

  async ask(question: IActionAsked, signal: AbortSignal): Promise<IAnswer> {
    const response = await this._post('ai/actions', question, signal);
    return {
      by: answeredBy(response),
      events: this._server.events<ActionEvent>(response, signal)
    };
  }

  /** Run a file of tests. The run ends with the signal. */
  async *runTests(
    path: string,
    signal: AbortSignal
  ): AsyncGenerator<TestEvent, void, undefined> {
    const response = await this._post('ai/actions/run-tests', { path }, signal);
    yield* this._server.events<TestEvent>(response, signal);
  }

  private _post(
    path: string,
    body: unknown,
    signal: AbortSignal
  ): Promise<Response> {
    return this._server.open(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal
    });
  }
}
