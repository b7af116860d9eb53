/**
 * One measured replay in a process of its own, so that its memory is its own:
 * `node replay-run.js <ours|by-hand|rebuild> <log.db or url of a server> <events in it> <folder> <digest|no-digest>`.
 * Prints one ReplayRun as JSON.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { systemClock } from '../../src/infra/platform/clock.js';
import { EmbeddedLog } from '../../src/infra/eventlog/embedded/embedded-log.js';
import type { EventLog } from '../../src/infra/eventlog/eventlog.js';
import { readAddress } from '../../src/infra/eventlog/eventstore/address.js';
import { openServer } from '../../src/infra/app/open-log.js';
import { digestTables } from '../../src/infra/projector/digest.js';
import { ProjectionFile } from '../../src/infra/projector/projection-file.js';
import { Projector } from '../../src/infra/projector/projector.js';
import { Connection } from '../../src/infra/sqlite/connection.js';
import { missions } from '../../src/projections/missions.js';
import { replayByHand } from './by-hand.js';
import { eventsOfFile } from './by-hand-file.js';
import { perSecond } from './measure.js';
import { RawDatabase } from './raw.js';

const LONGEST_MS = 10 * 60_000;
const logger = pino({ level: 'error' });

const [kind = '', source = '', events = '', folder = '', digest] = process.argv.slice(2);
const path = join(folder, 'missions.db');
const count = Number(events);
const isServer = source.startsWith('esdb:');
const rate = await (kind === 'by-hand' ? replayHand() : project());
const peakMiB = peakMemoryMiB();
const rows = digest === 'digest' ? await digestOf() : '';
console.log(JSON.stringify({ rate, peakMiB, digest: rows }));

async function replayHand(): Promise<number> {
  if (!isServer) {
    const log = await RawDatabase.open(source);
    return replayByHand(eventsOfFile(log), path, count).finally(() => log.close());
  }
  // The client takes long to load, and most runs do not need it.
  const [{ connectBare }, { eventsOfServer }] = await Promise.all([
    import('./bare-client.js'),
    import('./by-hand-server.js'),
  ]);
  const client = await connectBare(source);
  return replayByHand(eventsOfServer(client), path, count).finally(() => client.dispose());
}

async function openLog(): Promise<EventLog> {
  return isServer ? (await openServer(readAddress(source), logger)).log : EmbeddedLog.open(source, systemClock);
}

/** The projector's two ways: following the log, or rebuilding because the file has another version. */
async function project(): Promise<number> {
  const log = await openLog();
  if (kind === 'rebuild') {
    const file = await ProjectionFile.open(path, { ...missions, version: missions.version - 1 });
    await file.createLive(log.logId);
    await file.close();
  }
  const projector = await Projector.open(path, missions, log, logger);
  try {
    const head = await log.head();
    return await perSecond(count, async () => {
      await projector.start();
      await projector.rebuilt();
      if (!(await projector.reaches(head, LONGEST_MS))) throw new Error('the projector did not arrive');
    });
  } finally {
    await projector.stop();
    await log.close();
  }
}

/** The most memory this process has ever held, in MiB. */
function peakMemoryMiB(): number {
  const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kib) / 1024;
}

async function digestOf(): Promise<string> {
  const connection = await Connection.open(path, 'read');
  try {
    return await digestTables(connection, missions.tables, 'live');
  } finally {
    await connection.close();
  }
}
