/**
 * createMission over HTTP from 64 connections, each sending its next request after an answer, compared with a mutation on
 * the same core that takes and returns the same and keeps nothing: the cost of HTTP and GraphQL alone. PROJECTED is what
 * clients get by default: fsynced in the log and in the read models. Every answer is checked.
 */
import autocannon from 'autocannon';
import { withCore } from './support/core.js';
import { median, perSecondText, result, Rounds, setting } from './support/measure.js';
import { inScratch } from './support/scratch.js';

const FLOOR = 0.6;
const P99_CEILING = 3;
const CONNECTIONS = 64;
const seconds = setting('BENCH_SECONDS', 3);
const rounds = setting('BENCH_ROUNDS', 7);

const FIELDS = 'id title description metadata tags status closedReason createdAt updatedAt revision position';
const input = { title: 'Map the ridge', description: 'North face first', metadata: { grid: 'C4' }, tags: ['survey'] };
const latencies = new Map<string, number[]>();

/** Returns answers per second; the 99th percentile of the latency is recorded. */
async function drive(url: string, name: string, field: string, consistency: string): Promise<number> {
  const query = `mutation ($input: CreateMissionInput!, $consistency: Consistency!) {
    ${field}(input: $input, consistency: $consistency) {
      ... on CreateMissionPayload { position durability mission { ${FIELDS} } }
      ... on Problem { code message }
    }
  }`;
  const { requests, latency, duration, errors, non2xx, mismatches } = await autocannon({
    url: `${url}/graphql`,
    connections: CONNECTIONS,
    duration: seconds,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables: { input, consistency } }),
    verifyBody: (body) => String(body).includes(`"durability":"${consistency}"`),
  });
  if (errors + non2xx + mismatches > 0 || requests.total === 0) {
    throw new Error(`${name}: ${errors} errors, ${non2xx} refusals, ${mismatches} wrong answers of ${requests.total}`);
  }
  latencies.set(name, [...(latencies.get(name) ?? []), latency.p99]);
  return requests.total / duration;
}

await inScratch((folder) =>
  withCore(folder, async (url) => {
    const contestants = {
      projected: () => drive(url, 'projected', 'createMission', 'PROJECTED'),
      nothing: () => drive(url, 'nothing', 'doNothing', 'PROJECTED'),
      appended: () => drive(url, 'appended', 'createMission', 'APPENDED'),
    };
    // The first round warms up the compiler.
    for (const run of Object.values(contestants)) await run();
    latencies.clear();
    const rates = await Rounds.run(rounds, contestants);
    const p99 = (name: string) => median(latencies.get(name) ?? []);
    const nothing = `${perSecondText(rates.median('nothing'))} doing nothing`;
    const figures = `${perSecondText(rates.median('projected'))} against ${nothing}`;
    const appended = `APPENDED ${perSecondText(rates.median('appended'))} (${rates.ratio('appended', 'nothing').toFixed(2)})`;
    result('mutation', rates.ratio('projected', 'nothing'), { floor: FLOOR }, `${figures}; ${appended}`);
    result(
      'mutation-p99',
      p99('projected') / p99('nothing'),
      { ceiling: P99_CEILING },
      `${p99('projected')} ms against ${p99('nothing')} ms; APPENDED ${p99('appended')} ms`,
    );
  }),
);
