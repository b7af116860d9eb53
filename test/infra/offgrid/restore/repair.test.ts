import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it, onTestFinished } from 'vitest';
import { systemClock, systemTime } from '../../../../src/infra/platform/clock.js';
import { corePaths } from '../../../../src/infra/platform/core-paths.js';
import { readKeyring } from '../../../../src/infra/crypto/keyring-file.js';
import type { RootKey } from '../../../../src/infra/crypto/root-key.js';
import { EmbeddedLog } from '../../../../src/infra/eventlog/embedded/embedded-log.js';
import { checksumOf, type EventRow } from '../../../../src/infra/eventlog/embedded/event-row.js';
import { tableOf } from '../../../../src/infra/eventlog/embedded/partitions.js';
import type { RunningHost } from '../../../../src/infra/offgrid/host/server.js';
import { HostClients } from '../../../../src/infra/offgrid/protocol/host-clients.js';
import { RepairError } from '../../../../src/infra/offgrid/restore/errors.js';
import { repair } from '../../../../src/infra/offgrid/restore/repair.js';
import { Connection } from '../../../../src/infra/sqlite/connection.js';
import { collect } from '../../../support/events.js';
import { split } from '../../../support/log-folder.js';
import { TestNode } from '../../../support/node.js';
import { AUTH_KEY, newFolder, newHost } from '../../../support/offgrid/host.js';

const MISSIONS = 20;
const RUNS = 12;
const PAGE_BYTES = 4_096;
const WAIT = { timeout: 120_000, interval: 50 };
const TIMEOUT_MS = 120_000;

async function onFile<R>(path: string, use: (file: Connection) => Promise<R>): Promise<R> {
  const file = await Connection.open(path, 'write');
  return use(file).finally(() => file.close());
}

function rowsOf(log: string): Promise<EventRow[]> {
  return onFile(log, (file) => file.all<EventRow>('SELECT * FROM events ORDER BY position'));
}

/** A log that two hosts have signed for, its file, and what is needed to mend it. */
class Lost {
  readonly log: string;
  readonly rows: readonly EventRow[];
  readonly bytes: Buffer;
  readonly #node: TestNode;
  readonly #root: RootKey;
  readonly #hosts: readonly RunningHost[];

  private constructor(node: TestNode, hosts: readonly RunningHost[], root: RootKey, rows: EventRow[], bytes: Buffer) {
    this.log = corePaths(node.folder).log;
    this.rows = rows;
    this.bytes = bytes;
    this.#node = node;
    this.#hosts = hosts;
    this.#root = root;
  }

  /** @param firsts where its partitions begin, after the first */
  static async make(firsts: readonly number[] = []): Promise<Lost> {
    const hosts = [await newHost(), await newHost()];
    const node = await TestNode.start({
      OFFGRID_STORAGE_ENABLED: 'true',
      OFFGRID_STORAGE_HOSTS: hosts.map(({ url }) => url).join(','),
      OFFGRID_AUTH_KEY: AUTH_KEY,
      OFFGRID_REQUIRED_ACKS: '2',
    });
    onTestFinished(() => node.stop());
    for (let i = 0; i < MISSIONS; i += 1) await node.newMission({ description: 'x'.repeat((i * 137) % 1_500) });
    const { log, outbox, keyring } = corePaths(node.folder);
    const head = MISSIONS + 2;
    const progress = () => onFile(outbox, (file) => file.all('SELECT head, quorum FROM progress'));
    await expect.poll(progress, WAIT).toEqual([{ head, quorum: head }]);
    await node.halt();
    if (firsts.length > 0) await split(log, firsts);
    const root = await readKeyring(keyring, undefined);
    return new Lost(node, hosts, root!, await rowsOf(log), await readFile(log));
  }

  async repair(bytes?: Buffer, withOutbox = true) {
    if (bytes !== undefined) await writeFile(this.log, bytes);
    const { outbox } = corePaths(this.#node.folder);
    const hosts = this.#hosts.map(({ url }) => ({ url, weight: 1 }));
    const troubles: string[] = [];
    const clients = new HostClients(AUTH_KEY, systemClock);
    const repaired = await repair(
      {
        log: this.log,
        outbox: withOutbox ? outbox : join(await newFolder(), 'outbox.db'),
        origin: 'core-v2',
        root: this.#root,
        hosts,
        dishonestWeight: 0,
      },
      {
        clientOf: (url, host) => clients.of(url, host),
        clock: systemClock,
        time: systemTime(systemClock),
        onProgress: () => undefined,
        onTrouble: (message) => void troubles.push(message),
      },
    ).finally(() => {
      clients.close();
    });
    return { ...repaired, troubles };
  }
}

/** A row without what only the lost row could show. */
function contentOf({ recorded_at: _, checksum: __, ...content }: EventRow) {
  return content;
}

it.each([
  ['one partition', []],
  ['several partitions', [2, 5, 9, 16, 20]],
])(
  'restores a log of %s as it was, or leaves the file unchanged, whichever bit is flipped and whichever page is lost',
  async (_name, firsts) => {
    const lost = await Lost.make(firsts);
    const { log, rows, bytes } = lost;
    let mended = 0;
    const expectAsBeforeOrRefused = async (damaged: Buffer, withOutbox: boolean) => {
      try {
        mended += (await lost.repair(damaged, withOutbox)).mended.length;
      } catch (error) {
        expect(error).toBeInstanceOf(RepairError);
        return;
      }
      const opened = await EmbeddedLog.open(log, systemClock);
      await collect(opened.readAll()).finally(() => opened.close());
      const after = await rowsOf(log);
      expect(after).toHaveLength(rows.length);
      after.forEach((row, i) => {
        if (row.etype !== 0) expect(contentOf(row)).toEqual(contentOf(rows[i]!));
        else
          expect(rows[i]).toMatchObject({ type: 'ReplicasAcknowledged', revision: row.revision, stream: row.stream });
      });
    };
    const place = fc.noBias(fc.nat(bytes.length - 1));
    await fc.assert(
      fc.asyncProperty(place, fc.nat(7), fc.boolean(), async (at, bit, withOutbox) => {
        const damaged = Buffer.from(bytes);
        damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << bit), at);
        await expectAsBeforeOrRefused(damaged, withOutbox);
      }),
      { numRuns: RUNS },
    );
    await fc.assert(
      fc.asyncProperty(place, fc.boolean(), async (at, withOutbox) => {
        const from = at - (at % PAGE_BYTES);
        await expectAsBeforeOrRefused(Buffer.from(bytes).fill(0, from, from + PAGE_BYTES), withOutbox);
      }),
      { numRuns: RUNS },
    );
    expect(mended).toBeGreaterThan(0);
  },
  TIMEOUT_MS,
);

it(
  'restores the newest events too, which only outbox.db knows of, and keeps the damaged file',
  async () => {
    const lost = await Lost.make();
    const { log, rows } = lost;
    const replicated = rows.findLastIndex(({ type }) => type === 'MissionCreated') + 1;
    await onFile(log, (file) => file.run('DELETE FROM events_1 WHERE position >= ?', [replicated]));
    const damaged = await readFile(log);
    const { mended, kept, agree } = await lost.repair();
    expect(mended.map(({ position }) => position)).toEqual(rows.slice(replicated - 1).map(({ position }) => position));
    expect((await rowsOf(log)).slice(0, replicated).map(contentOf)).toEqual(rows.slice(0, replicated).map(contentOf));
    expect(agree).toHaveLength(2);
    expect(await rowsOf(kept!)).toHaveLength(replicated - 1);
    expect((await readFile(kept!)).length).toBe(damaged.length);
  },
  TIMEOUT_MS,
);

it(
  'refuses a log that is not the one the hosts have signed for: none of their events is mixed into it',
  async () => {
    const lost = await Lost.make();
    const { log, rows } = lost;
    const [first, second] = rows.filter(({ type }) => type === 'MissionCreated');
    const other = { ...first!, data: first!.data.replace('A mission', 'Another') };
    await onFile(log, async (file) => {
      const set = 'UPDATE events_1 SET data = ?, checksum = ? WHERE position = ?';
      await file.run(set, [other.data, checksumOf(other), other.position]);
      await file.run('DELETE FROM events_1 WHERE position = ?', [second!.position]);
    });
    const before = await rowsOf(log);
    await expect(lost.repair()).rejects.toThrow(/not be what the hosts have: .*another history.*Nothing was changed/);
    expect(await rowsOf(log)).toEqual(before);
    await expect(readFile(`${log}.repaired`)).rejects.toThrow('ENOENT');
    await rm(log);
  },
  TIMEOUT_MS,
);

it(
  'keeps the partitions of the log, and lists them again where their list is damaged',
  async () => {
    const firsts = [4, 11, 15];
    const lost = await Lost.make(firsts);
    const { log, rows } = lost;
    const partitions = () => onFile(log, (file) => file.all('SELECT number, first FROM partitions'));
    const before = await partitions();
    expect(before).toEqual([1, ...firsts].map((first, i) => ({ number: i + 1, first })));
    // Only an event that is on hosts can be put back.
    const position = rows.findIndex((row) => row.type === 'MissionCreated' && row.position >= 11) + 1;
    const table = tableOf(1 + firsts.filter((first) => first <= position).length);
    await onFile(log, (file) => file.run(`UPDATE ${table} SET data = '{}' WHERE position = ${position}`));
    expect((await lost.repair()).mended).toMatchObject([{ position }]);
    expect(await partitions()).toEqual(before);
    expect((await rowsOf(log)).map(contentOf)).toEqual(rows.map(contentOf));

    await onFile(log, (file) => file.exec('DELETE FROM partitions WHERE number = 2; DROP VIEW events'));
    await expect(EmbeddedLog.open(log, systemClock)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
    expect(await lost.repair()).toMatchObject({ mended: [] });
    expect(await partitions()).toEqual(before);
    const opened = await EmbeddedLog.open(log, systemClock);
    expect(await collect(opened.readAll())).toHaveLength(rows.length);
    await opened.close();
  },
  TIMEOUT_MS,
);
