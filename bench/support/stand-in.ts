import { withServed } from './served.js';

/** Runs `work` against a stand-in for an EventStoreDB server in a process of its own. It keeps everything in memory. */
export function withStandIn<R>(work: (url: string) => Promise<R>): Promise<R> {
  const program = new URL('../../test/support/eventstore/main.js', import.meta.url);
  // It has nothing to save. On a normal stop, Node 20 may loop forever while it closes HTTP/2 connections.
  return withServed({ program, args: [], stop: (server) => server.kill('SIGKILL') }, work);
}
