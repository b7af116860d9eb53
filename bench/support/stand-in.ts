import { withServed } from './served.js';

/** How long a write to the stand-in's disk takes, in milliseconds: an append to a real server waits for one or two. */
const COMMIT_MS = 5;

/** Runs `work` against a stand-in for an EventStoreDB server in a process of its own. It keeps everything in memory. */
export function withStandIn<R>(work: (url: string) => Promise<R>, commitMs = COMMIT_MS): Promise<R> {
  const program = new URL('../../test/support/eventstore/main.js', import.meta.url);
  // It has nothing to save. On a normal stop, Node 20 may loop forever while it closes HTTP/2 connections.
  return withServed(
    { program, args: ['--commit-ms', String(commitMs)], stop: (server) => server.kill('SIGKILL') },
    work,
  );
}
