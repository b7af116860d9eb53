import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { RecordedEvent } from '../../src/domain/event.js';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { readKeyring } from '../../src/infra/crypto/keyring-file.js';
import { formatRecoveryKey } from '../../src/infra/crypto/recovery-key.js';
import type { RootKey } from '../../src/infra/crypto/root-key.js';
import { Connection } from '../../src/infra/sqlite/connection.js';
import { job, legacyFolder, mission, sheratan, task, withLogOf } from '../infra/transfer/support.js';
import { newDataDir, Sheratan } from '../support/core.js';
import { mutation } from '../support/documents.js';
import { collect } from '../support/events.js';
import { bytesNeedle, foundBelow, foundIn, textNeedle, type Needle } from '../support/needles.js';
import { quietPort } from '../support/ports.js';

const WAIT = { timeout: 60_000, interval: 100 };
const TIMEOUT_MS = 240_000;
/** Contents of more bytes are files on a host. */
const CHUNK_BYTES = 1_024;
/** Texts that are shorter may be anywhere by chance. */
const MIN_LENGTH = 12;
const DATE = /^\d{4}-\d\d-\d\dT/;

/** A text that occurs nowhere else. */
function unique(what: string): string {
  return `${what} ${randomBytes(12).toString('base64url')}`;
}

/** Data of the prototype: every free text field has a text that occurs nowhere else. */
function records() {
  const ids = {
    missions: [randomUUID(), `first.${randomBytes(9).toString('hex')}`],
    tasks: [randomUUID(), randomUUID()],
  };
  const object = (what: string) => ({ [unique(`name of ${what}`)]: { deep: [unique(what)] } });
  return {
    ids,
    missions: ids.missions.map((id) =>
      mission(id, {
        title: unique('Grüße aus der Mission'),
        description: unique('description'),
        metadata: object('metadata'),
        tags: [unique('tag')],
      }),
    ),
    tasks: ids.tasks.map((id, i) =>
      task(id, ids.missions[i]!, {
        name: unique('task'),
        description: unique('description of a task'),
        kind: unique('kind'),
        params: object('params'),
      }),
    ),
    jobs: ids.tasks.flatMap((taskId) => [
      job(randomUUID(), taskId, { payload: object('payload'), status: 'done', result: object('result') }),
      job(`job.${randomBytes(9).toString('hex')}`, taskId, {
        payload: { ...object('payload'), filler: unique('large').repeat(CHUNK_BYTES / 16) },
        status: 'failed',
        result: unique('failure'),
      }),
      job(randomUUID(), taskId, { payload: object('payload') }),
    ]),
  };
}

/** Every text of a value, names included. */
function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [...(Array.isArray(value) ? [] : [name]), ...textsOf(inner)]);
}

/** All texts of events of missions, tasks and jobs, and the names of all events and streams. */
function needlesOf(events: readonly RecordedEvent[], given: readonly unknown[]): Needle[] {
  const written = events
    .filter(({ metadata }) => !metadata.actor.startsWith('process:'))
    .flatMap(({ data, metadata }) => [...textsOf(data), ...textsOf(metadata)]);
  const names = events.flatMap(({ id, stream, type }) => [id, stream, type]);
  const texts = [...textsOf(given), ...written, ...names];
  const searched = texts.filter((text) => text.length >= MIN_LENGTH && !DATE.test(text));
  // Names of fields are in the schema: they are not secret, and not searched for.
  return [...new Set(searched)].filter((text) => !/^[a-z]+([A-Z][a-z]+)+$/.test(text)).map(textNeedle);
}

/** The keys that only the core and the paper have, and the key that the machines share. */
function keysOf(root: RootKey, events: readonly RecordedEvent[], origin: string, authKey: string): Needle[] {
  const recovery = formatRecoveryKey(root);
  const keys = events
    .filter(({ type }) => type === 'KeyRotated')
    .map(({ data }) => {
      const { wrappedKey, keyEpoch, keyId } = data as { wrappedKey: string; keyEpoch: number; keyId: string };
      return root.unwrap(wrappedKey, { origin, keyEpoch, keyId });
    });
  const dataKeys = [root.firstDataKey, ...keys].flatMap((key) =>
    key === undefined ? [] : [key.bytes, key.encrypt, key.nonce],
  );
  return [
    bytesNeedle('root key', root.bytes),
    textNeedle(recovery),
    textNeedle(recovery.replaceAll('-', '')),
    textNeedle(authKey),
    ...dataKeys.map((bytes, i) => bytesNeedle(`data key ${i}`, bytes)),
  ];
}

async function isReplicated(dataDir: string, atLeast: number): Promise<boolean> {
  const file = await Connection.open(corePaths(dataDir).outbox, 'read');
  try {
    const [row] = await file.all<{ total: number; pending: number }>(
      "SELECT count(*) AS total, count(*) FILTER (WHERE status <> 'completed' OR acks < 2) AS pending FROM outbox",
    );
    return row !== undefined && row.total >= atLeast && row.pending === 0;
  } finally {
    await file.close();
  }
}

describe('what hosts and broker keep', () => {
  it(
    'reveals no text, no id, no stream and no key',
    async () => {
      const dataDir = await newDataDir();
      const { ids, ...imported } = records();
      const folder = await legacyFolder(imported);
      expect(await sheratan(['import', folder], dataDir)).toMatchObject({ code: 0, errors: [] });

      const authKey = unique('auth-key').replace(' ', '-');
      const [hostA, hostB, broker] = [await quietPort(), await quietPort(), await quietPort()];
      const machine = new Sheratan(['up'], dataDir, {
        OFFGRID_STORAGE_ENABLED: 'true',
        OFFGRID_STORAGE_HOSTS: `http://127.0.0.1:${hostA},http://127.0.0.1:${hostB}`,
        OFFGRID_BROKER_URL: `http://127.0.0.1:${broker}`,
        OFFGRID_AUTH_KEY: authKey,
        OFFGRID_CHUNK_THRESHOLD: String(CHUNK_BYTES),
        SHERATAN_LOG_LEVEL: 'trace',
      });
      onTestFinished(() => machine.kill());
      await machine.listening();

      // Changes made from then on are as secret.
      const change = async (name: string, input: object) => {
        const headers = { 'x-correlation-id': unique('request').replace(' ', '-') };
        const variables = { input: { ...input, idempotencyKey: unique('key') }, consistency: 'PROJECTED' };
        const { [name]: result } = await machine.gql(mutation(name), variables, headers);
        expect(result.durability, JSON.stringify(result)).toBe('PROJECTED');
        return result;
      };
      const worker = unique('worker');
      await change('updateMission', { id: ids.missions[0], title: unique('another title') });
      const { jobs } = await change('claimJobs', { worker, limit: 2, leaseSeconds: 600 });
      const [one, other] = jobs.map(({ id, attempt }: { id: string; attempt: number }) => ({ id, worker, attempt }));
      await change('completeJob', { ...one, result: { note: unique('result') } });
      await change('failJob', { ...other, reason: 'CRASH', message: unique('message'), retryable: false });
      await machine.gql('mutation { rotateKey { __typename } }');
      await change('createMission', { title: unique('under the second key') });

      const events = () => withLogOf(dataDir, (log) => collect(log.readAll()));
      await expect.poll(() => isReplicated(dataDir, 25), WAIT).toBe(true);
      const log = await events();
      const root = await readKeyring(corePaths(dataDir).keyring, undefined);
      const secrets = needlesOf(log, Object.values(imported));
      const keys = keysOf(root!, log, 'core-v2', authKey);
      expect(secrets.length).toBeGreaterThan(100);
      expect(log.filter(({ type }) => type === 'KeyRotated')).toHaveLength(2);

      const look = async (name: string) => foundBelow(join(dataDir, name), [...secrets, ...keys]);
      // While they run, write-ahead logs included, and after they have stopped.
      for (const when of ['running', 'stopped']) {
        if (when === 'stopped') await machine.stop();
        for (const host of ['host-a', 'host-b']) {
          const { found, files } = await look(host);
          expect(found, when).toEqual([]);
          expect(files).toEqual(
            expect.arrayContaining(['host.db', 'identity.pem', expect.stringMatching(/^blobs\/../)]),
          );
          if (when === 'running') expect(files).toContain('host.db-wal');
        }
        const { found, files } = await look('broker');
        expect(found, when).toEqual([]);
        expect(files.length, when).toBeGreaterThan(0);
      }
      const written = Buffer.from([...machine.output, ...machine.errors].join('\n'));
      expect(foundIn(written, keys)).toEqual([]);
      const hostOutput = machine.output.filter((line) => /^\[(host-.|broker)\]/.test(line)).join('\n');
      expect(hostOutput).toContain('Host host-a is at');
      expect(foundIn(Buffer.from(hostOutput), secrets)).toEqual([]);

      // The same search finds all of it where it is meant to be.
      const core = await foundBelow(corePaths(dataDir).folder, [...secrets, ...keys]);
      const inLog = new Set(core.found.filter(({ file }) => file.startsWith('log.db')).map(({ needle }) => needle));
      expect(secrets.map(({ name }) => name).filter((name) => !inLog.has(name))).toEqual([]);
      expect(core.found).toContainEqual({ file: 'keyring.json', needle: 'root key' });
    },
    TIMEOUT_MS,
  );
});
