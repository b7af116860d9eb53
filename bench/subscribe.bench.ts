/**
 * How long changes take to reach 100 subscribers, while 200 evenly spaced mutations per second are made. A latency runs from
 * the time of the command, just before its commit, to the arrival in another process: it includes the fsync.
 * `subscribe` is missionChanged, through the read model; `subscribe-events` is eventRecorded, from the log.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { withCore } from './support/core.js';
import { median, progress, result, setting } from './support/measure.js';
import { inScratch } from './support/scratch.js';
import { Subscribers } from './support/subscribers.js';

const P50_MS = 10;
const P99_MS = 50;
const SUBSCRIBERS = 100;
const MUTATIONS_PER_SECOND = 200;
const rounds = setting('BENCH_ROUNDS', 7);
const seconds = setting('BENCH_SECONDS', 4);

const FEEDS = {
  subscribe: 'subscription { missionChanged { position mission { id title status at: updatedAt } } }',
  'subscribe-events': 'subscription { eventRecorded { position event { id type data metadata { at } } } }',
};
const CREATE = `mutation { createMission(input: { title: "Map the ridge" }, consistency: APPENDED) {
  ... on CreateMissionPayload { mission { id } } ... on Problem { message } } }`;

async function mutate(url: string): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${url}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query: CREATE }) });
  const answer = await response.text();
  if (!answer.includes('"id"')) throw new Error(answer);
}

/** Sends mutations at an even rate. Resolves once all are answered. */
async function drive(url: string, count: number): Promise<void> {
  const start = performance.now();
  const answers: Promise<void>[] = [];
  for (let i = 0; i < count; i += 1) {
    const ahead = start + (i * 1_000) / MUTATIONS_PER_SECOND - performance.now();
    if (ahead > 0) await delay(ahead);
    answers.push(mutate(url));
  }
  await Promise.all(answers);
}

/** Runs one round; returns the requested percentiles. */
async function measure(url: string, query: string, percentiles: readonly number[]): Promise<number[]> {
  const count = seconds * MUTATIONS_PER_SECOND;
  const subscribers = await Subscribers.connect(url, query, SUBSCRIBERS);
  try {
    await drive(url, MUTATIONS_PER_SECOND);
    await delay(500);
    subscribers.latencies = [];
    await drive(url, count);
    await delay(500);
    const sorted = subscribers.latencies.toSorted((a, b) => a - b);
    if (sorted.length !== count * SUBSCRIBERS) {
      throw new Error(`${sorted.length} values arrived of ${count * SUBSCRIBERS}`);
    }
    return percentiles.map((percentile) => sorted[Math.ceil((percentile / 100) * sorted.length) - 1] ?? Number.NaN);
  } finally {
    subscribers.close();
  }
}

await inScratch((folder) =>
  withCore(folder, async (url) => {
    const measured = new Map(Object.keys(FEEDS).map((name) => [name, [] as number[][]]));
    for (let round = 1; round <= rounds; round += 1) {
      for (const [name, query] of Object.entries(FEEDS)) {
        const [p50 = Number.NaN, p99 = Number.NaN] = await measure(url, query, [50, 99]);
        measured.get(name)?.push([p50, p99]);
        progress(`round ${round} of ${rounds}: ${name} p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`);
      }
    }
    for (const [name, figures] of measured) {
      const p50 = median(figures.map(([value = Number.NaN]) => value));
      const p99 = median(figures.map(([, value = Number.NaN]) => value));
      result(`${name}-p50`, p50 / P50_MS, { ceiling: 1 }, `${p50.toFixed(1)} ms of ${P50_MS} ms`);
      result(`${name}-p99`, p99 / P99_MS, { ceiling: 1 }, `${p99.toFixed(1)} ms of ${P99_MS} ms`);
    }
  }),
);
