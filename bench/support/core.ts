import { withServed } from './served.js';

/** Runs `work` against a core in a process of its own, as in production. */
export function withCore<R>(dataDir: string, work: (url: string) => Promise<R>): Promise<R> {
  const program = new URL('./serve-run.js', import.meta.url);
  return withServed({ program, args: [dataDir], stop: ({ stdin }) => stdin?.end() }, work);
}
