/**
 * A core in a process of its own that ships what it has until a quorum has signed for all: `node replicate-run.js
 * <events>`. Prints, as JSON, how many events a second that was, from when it serves, and its peak memory.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { systemClock } from '../../src/infra/clock.js';
import { readConfig } from '../../src/infra/config.js';
import { startNode } from '../../src/infra/node.js';

const POLL_MS = 20;
const count = Number(process.argv[2]);
const config = readConfig({ ...process.env, SHERATAN_PORT: '0', OFFGRID_BROKER_URL: 'http://127.0.0.1:9' });
const node = await startNode(config, { clock: systemClock, logger: pino({ level: 'error' }, pino.destination(2)) });
const { outbox, replication } = node.services;
await outbox.reaches(await node.services.log.head(), 600_000);
const startedAt = performance.now();
while (((await replication?.backlog.known())?.quorum ?? 0) < count) await delay(POLL_MS);
const rate = (count * 1_000) / (performance.now() - startedAt);
console.log(JSON.stringify({ rate, peakMiB: process.resourceUsage().maxRSS / 1024 }));
await node.stop();
