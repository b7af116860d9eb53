/**
 * A core in a process of its own that ships what it has until a quorum has signed for all: `node replicate-run.js
 * <events>`. Prints, as JSON, events per second from its start, and its peak memory. With no events to ship, it projects
 * what it has.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { systemClock } from '../../src/infra/platform/clock.js';
import { readConfig } from '../../src/infra/app/config.js';
import { startNode } from '../../src/infra/app/node.js';

const POLL_MS = 100;
const PROJECTING_MS = 600_000;
const count = Number(process.argv[2]);
const config = readConfig({ ...process.env, SHERATAN_PORT: '0', OFFGRID_BROKER_URL: 'http://127.0.0.1:9' });
const startedAt = performance.now();
const node = await startNode(config, { clock: systemClock, logger: pino({ level: 'error' }, pino.destination(2)) });
const { log, missions, outbox, replication } = node.services;
if (count === 0) for (const one of [missions, outbox]) await one.reaches(await log.head(), PROJECTING_MS);
else while (((await replication?.backlog.known())?.quorum ?? 0) < count) await delay(POLL_MS);
const rate = (count * 1_000) / (performance.now() - startedAt);
console.log(JSON.stringify({ rate, peakMiB: process.resourceUsage().maxRSS / 1024 }));
await node.stop();
