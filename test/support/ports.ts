import { createServer } from 'node:net';

/** Below the ports that the system gives out by itself, for connections and for servers that take any. */
const FIRST = 11_000;
const LAST = 31_000;

/** A port of the loopback that nobody listens on, and that the system gives to nobody else while nobody does. */
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
