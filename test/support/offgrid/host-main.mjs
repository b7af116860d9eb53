// A host in a process of its own, for tests that kill it. Its argument is its options, as JSON.
import { systemClock } from '../../../dist/infra/platform/clock.js';
import { startHost } from '../../../dist/infra/offgrid/host/server.js';
import { pino } from 'pino';

const host = await startHost({
  ...JSON.parse(process.argv[2] ?? '{}'),
  clock: systemClock,
  logger: pino({ level: 'warn' }, pino.destination(2)),
});
process.on('SIGTERM', () => void host.close());
console.log(JSON.stringify({ url: host.url, id: host.identity.id, verifyKey: host.identity.verifyKey }));
