import { PageConfig } from '@jupyterlab/coreutils';
import type { IMessageMetadata } from '@jupyter/chat';
import type { IPersonaSession } from '@jupyter-ai/persona-manager';

/** How long the server may take to tell of a chat's personas; it finds ours without being told, later. */
const LIMIT_MS = 5000;
const PERSONA = /^jupyter-ai-personas::aidp_ext::/;

/** Whether a message with this metadata is for aidp: it says so, or it says nothing. */
export function isForAidp(metadata: IMessageMetadata): boolean {
  const to = metadata['to_persona'];
  return to === undefined || (typeof to === 'string' && PERSONA.test(to));
}

/** The id of aidp's persona in a chat; null where the server has not told of it in time. */
export async function personaIn(
  session: IPersonaSession
): Promise<string | null> {
  if (!session.ready) {
    await new Promise<void>(resolve => {
      const done = () => {
        clearTimeout(timer);
        session.changed.disconnect(look);
        resolve();
      };
      const look = () => session.ready && done();
      const timer = setTimeout(done, LIMIT_MS);
      session.changed.connect(look);
    });
  }
  const ids = session.personas.map(({ id }) => id);
  const usual = PageConfig.getOption('jupyter_ai_default_persona');
  return (
    ids.find(id => PERSONA.test(id)) ?? ids.find(id => id === usual) ?? null
  );
}
