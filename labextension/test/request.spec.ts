import { describe, expect, it } from 'vitest';

import type { AidpError } from '../src/shared/request';
import { json, serverWith } from './fakes';

async function failure(promise: Promise<unknown>): Promise<AidpError> {
  return promise.then(
    () => {
      throw new Error('should have failed');
    },
    (error: AidpError) => error
  );
}

describe('AidpServer', () => {
  it('calls below the base URL and reads JSON', async () => {
    const { server, calls } = serverWith(() => json({ mode: 'local' }));
    expect(await server.json('ai/mode')).toEqual({ mode: 'local' });
    expect(calls[0]).toMatchObject({
      method: 'GET',
      path: '/user/ana/aidp/ai/mode'
    });
  });

  it('hands on what the server says went wrong and what to do', async () => {
    const { server } = serverWith(() =>
      json(
        {
          error: {
            code: 'no_model_available',
            message: 'No model can be reached.',
            type: 'unavailable',
            details: { next_step: 'Start Ollama.' }
          }
        },
        503
      )
    );
    expect(await failure(server.json('ai/route'))).toMatchObject({
      code: 'no_model_available',
      message: 'No model can be reached.',
      status: 503,
      nextStep: 'Start Ollama.'
    });
  });

  it('knows a server without aidp from an aidp that does not know a model', async () => {
    const bare = serverWith(() => json({ message: 'Not Found' }, 404));
    expect((await failure(bare.server.json('ai/mode'))).code).toBe('not_found');
    const error = { code: 'model_not_found', message: 'No such model.' };
    const aidp = serverWith(() => json({ error }, 404));
    expect((await failure(aidp.server.json('ai/mode'))).code).toBe(
      'model_not_found'
    );
  });

  it('words an answer that is not JSON', async () => {
    const { server } = serverWith(
      () => new Response('<h1>Bad Gateway</h1>', { status: 502 })
    );
    expect(await failure(server.json('ai/mode'))).toMatchObject({
      code: 'http_error',
      status: 502,
      nextStep: null
    });
  });

  it('calls a lost network offline_server', async () => {
    const { server } = serverWith(() => {
      throw new TypeError('Failed to fetch');
    });
    expect(await failure(server.json('ai/mode'))).toMatchObject({
      code: 'offline_server',
      nextStep: expect.stringContaining('running')
    });
  });

  it('lets an abort be an abort', async () => {
    const abort = new AbortController();
    const { server } = serverWith(() => {
      abort.abort();
      throw new DOMException('aborted', 'AbortError');
    });
    const error = await failure(
      server.json('ai/mode', { signal: abort.signal })
    );
    expect(error.name).toBe('AbortError');
  });
});
