// A host in a process of its own, for tests that kill it: its options are the argument, as JSON.
import { systemClock } from '../../../dist/infra/clock.js';
import { pino } from 'pino';

const { protocol = 1, ...options } = JSON.parse(process.argv[2] ?? '{}');
const room = protocol === 1 ? 'host' : 'host-2';
const { startHost } = await import(`../../../dist/infra/offgrid/${room}/server.js`);
const host = await startHost({
  ...options,
  clock: systemClock,
  logger: pino({ level: 'warn' }, pino.destination(2)),
});
process.on('SIGTERM', () => void host.close());
console.log(JSON.stringify({ url: host.url, id: host.identity.id, verifyKey: host.identity.verifyKey }));
