import { describe, expect, it } from 'vitest';

import { AiApi } from '../src/ai/api';
import { json, serverWith } from './fakes';

function setup(answer: unknown = {}) {
  const { server, calls } = serverWith(() => json(answer));
  return { api: new AiApi(server), calls };
}

describe('AiApi', () => {
  it('asks what would leave with the same headers as a call', async () => {
    const { api, calls } = setup();
    await api.preview(
      {
        text: 'x = 1',
        model: 'auto:cloud',
        path: 'a b/c.py',
        privacy: 'redact'
      },
      new AbortController().signal
    );
    const [{ method, path, headers, body }] = calls as [(typeof calls)[0]];
    expect([method, path]).toEqual(['POST', '/user/ana/aidp/ai/preview']);
    expect(headers.get('X-AIDP-Task')).toBe('chat');
    expect(headers.get('X-AIDP-Privacy')).toBe('redact');
    expect(headers.get('X-AIDP-Path')).toBe('a%20b/c.py');
    expect(body).toEqual({
      model: 'auto:cloud',
      messages: [{ role: 'user', content: 'x = 1' }]
    });
  });

  it('changes only what may be changed of the rules', async () => {
    const { api, calls } = setup();
    const rules = {
      ...{ file: 'aidp.toml', exists: true, never_leave: ['a'], privacy: null },
      admin: { never_leave: [], privacy: null }
    };
    await api.setRules(rules);
    expect(calls[0]?.body).toEqual({ never_leave: ['a'], privacy: null });
  });

  it('asks a provider by any name', async () => {
    const { api, calls } = setup({ ok: true });
    await api.test('a/b c');
    expect(calls[0]?.path).toMatch(/ai\/providers\/a%2Fb%20c\/test$/);
  });

  it('takes a key away', async () => {
    const { api, calls } = setup();
    await api.removeKey('openai');
    expect(calls[0]).toMatchObject({ method: 'DELETE', body: null });
  });

  it('asks for as many calls as wanted', async () => {
    const { server } = serverWith(() => json({ calls: [{ id: 'a' }] }));
    expect(await new AiApi(server).calls(7)).toEqual([{ id: 'a' }]);
  });
});
