/**
 * Read a `text/event-stream` body: yields the data of each event.
 *
 * Follows the standard: lines end in LF, CR or CR-LF, several data lines make one event, comments and other
 * fields pass by, and an event cut off by the end is dropped. Leaving the loop early cancels the body.
 */
export async function* events(
  body: ReadableStream<Uint8Array>
): AsyncGenerator<string, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let pending = '';
  let data: string[] = [];
  try {
    for (let done = false; !done;) {
      const chunk = await reader.read();
      done = chunk.done;
      pending += decoder.decode(chunk.value, { stream: !done });
      // A CR at the very end may be half of a CR-LF: it waits for the next chunk.
      const lines = pending.split(done ? /\r\n|\n|\r/ : /\r\n|\n|\r(?!$)/);
      pending = lines.pop() ?? '';
      for (const line of lines) {
        if (line === '') {
          if (data.length > 0) {
            yield data.join('\n');
          }
          data = [];
        } else if (line === 'data') {
          data.push('');
        } else if (line.startsWith('data:')) {
          data.push(line.slice(line[5] === ' ' ? 6 : 5));
        }
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
