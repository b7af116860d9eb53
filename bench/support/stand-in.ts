import { withServed } from './served.js';

/** Runs `work` against a stand-in for an EventStoreDB server in a process of its own. It keeps everything in memory. */
export function withStandIn<R>(work: (url: string) => Promise<R>): Promise<R> {
  const program = new URL('../../test/support/eventstore/main.js', import.meta.url);
  // It has nothing to keep; told to stop, Node 20 may spin for ever while it lets go of HTTP/2 connections.
  return withServed({ program, args: [], stop: (server) => server.kill('SIGKILL') }, work);
}
