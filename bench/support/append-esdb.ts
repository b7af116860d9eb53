import { pino } from 'pino';
import { readAddress } from '../../src/infra/eventlog/eventstore/address.js';
import { EventStoreLog } from '../../src/infra/eventlog/eventstore/eventstore-log.js';
import { appendBare, connectBare } from './bare-client.js';
import { inTurns } from './callers.js';
import { perSecond } from './measure.js';
import { prepareEvents, type Prepared } from './rows.js';
import { withStandIn } from './stand-in.js';

/** Appends for warming up: the server's code is interpreted at first. */
const WARM_UP_EVENTS = 3_000;
const WARM_UP_CALLERS = 100;

/** How many events per second our log appends to a new server. */
export function serverAppendRate(events: readonly Prepared[], callers: number): Promise<number> {
  return withWarmServer(async (url) => {
    const log = await EventStoreLog.open(readAddress(url), pino({ level: 'error' }));
    const append = ({ stream, event, revision }: Prepared) =>
      log.append(stream, [event], revision === 0 ? 'no-stream' : BigInt(revision - 1));
    try {
      return await perSecond(events.length, () => inTurns(events, callers, append));
    } finally {
      await log.close();
    }
  });
}

/** How many events per second the bare client appends to a new server. */
export function bareAppendRate(events: readonly Prepared[], callers: number): Promise<number> {
  return withWarmServer((url) => rateOfBare(url, events, callers));
}

async function rateOfBare(url: string, events: readonly Prepared[], callers: number): Promise<number> {
  const client = await connectBare(url);
  try {
    return await perSecond(events.length, () => inTurns(events, callers, (event) => appendBare(client, event)));
  } finally {
    await client.dispose();
  }
}

function withWarmServer(work: (url: string) => Promise<number>): Promise<number> {
  return withStandIn(async (url) => {
    const events = prepareEvents(WARM_UP_EVENTS, WARM_UP_CALLERS);
    const warmUp = events.map((prepared) => ({ ...prepared, stream: `warm-${prepared.stream}` }));
    await rateOfBare(url, warmUp, WARM_UP_CALLERS);
    return work(url);
  });
}
