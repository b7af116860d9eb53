/**
 * The start of a core whose log is on a server, until it answers a page of events: with 300,000 records of another application
 * after its own events, and with none. The server is a stand-in in a process of its own.
 */
import { performance } from 'node:perf_hooks';
import { join } from 'node:path';
import { withCore } from './support/core.js';
import { result, Rounds, setting } from './support/measure.js';
import { appendForeign } from './support/bare-client.js';
import { inScratch } from './support/scratch.js';
import { withStandIn } from './support/stand-in.js';

const CEILING = 1.5;
const OWN_EVENTS = 200;
const CREATE = 'mutation { createMission(input: { title: "T" }) { __typename } }';
const PAGE = '{ events(first: 100) { edges { cursor } } }';

async function ask(url: string, query: string): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${url}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query }) });
  const { errors } = (await response.json()) as { errors?: unknown };
  if (errors !== undefined) throw new Error(JSON.stringify(errors));
}

await inScratch(async (folder) => {
  const foreign = setting('BENCH_FOREIGN', 300_000);
  await withStandIn((shared) =>
    withStandIn(async (alone) => {
      const logs = { shared, alone };
      const start = async (name: keyof typeof logs) => {
        const begunAt = performance.now();
        let rate = 0;
        const answer = async (url: string) => {
          await ask(url, PAGE);
          rate = 1_000 / (performance.now() - begunAt);
        };
        await withCore(join(folder, name), answer, logs[name]);
        return rate;
      };
      for (const [name, logUrl] of Object.entries(logs)) {
        const fill = async (url: string) => {
          for (let i = 0; i < OWN_EVENTS; i += 1) await ask(url, CREATE);
        };
        await withCore(join(folder, name), fill, logUrl);
      }
      await appendForeign(shared, foreign);
      const rounds = await Rounds.run(setting('BENCH_ROUNDS', 7), {
        shared: () => start('shared'),
        alone: () => start('alone'),
      });
      const figures = `${ms(rounds.median('shared'))} with ${foreign.toLocaleString('en')} foreign records, ${ms(rounds.median('alone'))} without`;
      result('start-shared', 1 / rounds.ratio('shared', 'alone'), { ceiling: CEILING }, figures);
    }),
  );
});

function ms(perSecond: number): string {
  return `${Math.round(1_000 / perSecond)} ms`;
}
