/**
 * One measured replay in a process of its own, so that its memory is its own:
 * `node replay-run.js <ours|by-hand|rebuild> <log.db> <folder> <digest|no-digest>`. Prints one ReplayRun as JSON.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { systemClock } from '../../src/infra/clock.js';
import { EmbeddedLog } from '../../src/infra/eventlog/embedded.js';
import { digestTables } from '../../src/infra/projector/digest.js';
import { ProjectionFile } from '../../src/infra/projector/projection-file.js';
import { Projector } from '../../src/infra/projector/projector.js';
import { Connection } from '../../src/infra/sqlite/connection.js';
import { missions } from '../../src/projections/missions.js';
import { replayByHand } from './by-hand.js';
import { perSecond } from './measure.js';

const LONGEST_MS = 10 * 60_000;

const [kind = '', logPath = '', folder = '', digest] = process.argv.slice(2);
const path = join(folder, 'missions.db');
const events = await countEvents();
const rate = kind === 'by-hand' ? await replayByHand(logPath, path, events) : await project();
const peakMiB = peakMemoryMiB();
const rows = digest === 'digest' ? await digestOf() : '';
console.log(JSON.stringify({ events, rate, peakMiB, digest: rows }));

async function countEvents(): Promise<number> {
  const connection = await Connection.open(logPath, 'read');
  const [row] = await connection.all<{ count: number }>('SELECT count(*) AS count FROM events');
  await connection.close();
  return row?.count ?? 0;
}

/** The projector's own ways: following the log, or rebuilding since the file's version is another. */
async function project(): Promise<number> {
  const log = await EmbeddedLog.open(logPath, systemClock);
  if (kind === 'rebuild') {
    const file = await ProjectionFile.open(path, { ...missions, version: missions.version - 1 });
    await file.createLive(log.logId);
    await file.close();
  }
  const projector = await Projector.open(path, missions, log, pino({ level: 'error' }));
  try {
    const head = await log.head();
    return await perSecond(events, async () => {
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
