import { withServed } from './served.js';

/** Runs `work` against a core in a process of its own, as in production. @param logUrl the server of its log, if it has one */
export function withCore<R>(dataDir: string, work: (url: string) => Promise<R>, logUrl = ''): Promise<R> {
  const program = new URL('./serve-run.js', import.meta.url);
  return withServed({ program, args: [dataDir, logUrl], stop: ({ stdin }) => stdin?.end() }, work);
}
