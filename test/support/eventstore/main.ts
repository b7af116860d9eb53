/** Runs a stand-in in a process of its own, for benches: prints its url as the first line, and serves until it is killed. */
import { parseArgs } from 'node:util';
import { StandIn } from './stand-in.js';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    /** In bytes. */
    'max-append-size': { type: 'string' },
    /** In milliseconds. */
    latency: { type: 'string', default: '0' },
    'commit-ms': { type: 'string', default: '0' },
  },
});

const maxAppendSize = values['max-append-size'];
const standIn = await StandIn.start({
  port: Number(values.port),
  latency: Number(values.latency),
  commitMs: Number(values['commit-ms']),
  ...(maxAppendSize !== undefined && { maxAppendSize: Number(maxAppendSize) }),
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void standIn.stop());
process.stdout.write(`${standIn.url}\n`);
