import type { Duplex } from 'node:stream';
import type { EventStoreDBClient } from '@eventstore/db-client';

/** What the client calls the stream that appends go by. */
const APPENDS = 'appendToStream';

/** How the client opens its streams, in a form that holds for all of them. */
interface Opener {
  GRPCStreamCreator: (
    type: unknown,
    name: string,
    open: (stub: unknown) => Duplex,
    cache?: WeakMap<object, unknown>,
  ) => () => Promise<Duplex>;
}

/**
 * Has a client pass over answers to appends that it has taken for failed. When any stream of appends fails, the client
 * takes every append in the process for failed, on whichever stream of whichever client; and when one is answered after
 * all, it throws where nobody can catch it, which ends the process.
 */
export function passOverOrphans(client: EventStoreDBClient): EventStoreDBClient {
  const opener = client as unknown as Opener;
  const create = opener.GRPCStreamCreator;
  opener.GRPCStreamCreator = (type, name, open, cache) =>
    create(type, name, name === APPENDS ? (stub) => forgiving(open(stub)) : open, cache);
  return client;
}

function forgiving(stream: Duplex): Duplex {
  for (const listener of stream.listeners('data') as ((answer: unknown) => void)[]) {
    stream.off('data', listener);
    stream.on('data', (answer: unknown) => {
      try {
        listener(answer);
      } catch {
        // Nobody waits for it any more.
      }
    });
  }
  return stream;
}
