import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { Token } from '@lumino/coreutils';

/**
 * A service of another extension; null where that is not installed, or is off.
 *
 * A token is what it is by identity, so it has to come from the other extension's own package, and that may be absent.
 */
export async function optionalService<T>(
  app: JupyterFrontEnd,
  load: () => Promise<Token<T>>
): Promise<T | null> {
  let token: Token<T>;
  try {
    token = await load();
  } catch {
    return null;
  }
  return app.resolveOptionalService(token);
}
