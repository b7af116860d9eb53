import { createServer } from 'node:net';

/** Below the ports that the system assigns automatically, to connections and to servers that accept any port. */
const FIRST = 11_000;
const LAST = 31_000;

/** A loopback port on which no process listens, and which the system does not assign automatically. */
export async function quietPort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}
