import { chmod, cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import type { RecordedEvent } from '../../src/domain/event.js';
import { systemClock } from '../../src/infra/platform/clock.js';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { readKeyring } from '../../src/infra/crypto/keyring-file.js';
import { EmbeddedLog } from '../../src/infra/eventlog/embedded/embedded-log.js';
import { toLine } from '../../src/infra/transfer/exported-event.js';
import { newDataDir, Sheratan } from '../support/core.js';
import { collect } from '../support/events.js';
import type { Untyped } from '../support/node.js';
import { Reader } from '../support/offgrid/by-hand.js';
import { Front } from '../support/offgrid/front.js';
import { newHost } from '../support/offgrid/host.js';
import { replicating, settled, WAIT } from '../support/offgrid/machine.js';
import { Random } from '../support/random.js';
import { replicatedOf } from './replicas.js';
import { SEED } from '../support/seed.js';

const GOLDEN = join(import.meta.dirname, '../golden/0.1');
/** Folders that are taken over, and how often each core is killed meanwhile. */
const FOLDERS = Number(process.env['TAKE_OVER_CRASH_FOLDERS'] ?? 1);
const KILLS = 4;
/** How many more requests to hosts a core may make each time before it is killed: taking over needs about 15. */
const REQUESTS = 4;
/** The longest time from its listening until it is killed, in milliseconds. */
const LIFE_MS = 15_000;
const TIMEOUT_MS = 120_000 + FOLDERS * 180_000;

const expected: Untyped = JSON.parse(await readFile(join(GOLDEN, 'expected.json'), 'utf8'));
const lines = (await readFile(join(GOLDEN, 'log.ndjson'), 'utf8')).trim().split('\n');
const [, digestBefore = ''] = /^digest (\w+)$/.exec(expected.verified[1]) ?? [];

/** The events of a log that no core has open. */
async function eventsOf(dataDir: string): Promise<RecordedEvent[]> {
  const log = await EmbeddedLog.open(corePaths(dataDir).log, systemClock);
  return collect(log.readAll()).finally(() => log.close());
}

/** The line of the last policy of a log. */
function lineOf(events: readonly RecordedEvent[]): unknown {
  return events.findLast(({ type }) => type === 'ReplicationPolicySet')?.data['line'] ?? 1;
}

/** Kills a core at one of its requests to hosts: the host has accepted it and the answer is lost, or never received it. */
function killAt(core: Sheratan, fronts: readonly Front[], last: number, isTaken: boolean): Promise<void> {
  let asked = 0;
  return new Promise((resolve) => {
    for (const front of fronts)
      front.handler = async (request, pass) => {
        asked += 1;
        if (asked !== last) return pass(request);
        if (isTaken) await pass(request);
        await core.kill();
        resolve();
        throw new Error('the core was killed; no one waits for the answer');
      };
  });
}

it(
  `a folder of protocol 1 is taken over, however often its core is killed meanwhile (TEST_SEED=${SEED})`,
  { timeout: TIMEOUT_MS },
  async () => {
    const random = new Random(SEED);
    const totals = { kills: 0, before: 0, after: 0 };
    for (let i = 1; i <= FOLDERS; i += 1) {
      const hosts = [await newHost(), await newHost()];
      const fronts = [await Front.of(hosts[0]!.url), await Front.of(hosts[1]!.url)];
      const urls = hosts.map(({ identity }, at) => `${fronts[at]!.url}#${identity.id}`);
      const env = replicating(urls, { SHERATAN_ORIGIN: expected.origin, OFFGRID_REQUIRED_ACKS: '2' });
      const dataDir = await newDataDir();
      const { folder, keyring } = corePaths(dataDir);
      await cp(join(GOLDEN, 'core'), folder, { recursive: true });
      // A checkout does not keep the modes of secrets.
      await chmod(keyring, 0o600);
      const root = await readKeyring(keyring, undefined);
      if (root === undefined) throw new Error('the folder has no keyring');

      for (let kill = 1; kill <= KILLS; kill += 1) {
        const core = new Sheratan(['serve'], dataDir, env);
        onTestFinished(() => core.kill());
        const asked = killAt(core, fronts, random.between(1, REQUESTS * kill), random.chance(0.5));
        // It may send requests to hosts before it prints its address.
        await Promise.race([asked, core.listening().then(() => delay(LIFE_MS))]);
        await core.kill();
        totals.kills += 1;
        const events = await eventsOf(dataDir);
        expect(events.slice(0, lines.length).map(toLine), `after kill ${kill}`).toEqual(lines);
        totals[lineOf(events) === 1 ? 'before' : 'after'] += 1;
      }

      for (const front of fronts) front.handler = undefined;
      const core = await Sheratan.serve(dataDir, env);
      const status = await settled(core, lines.length - 18);
      expect(status).toMatchObject({ refusal: null, stopped: null, unmet: [] });
      const { digest } = await core.live();
      const readers = hosts.map((host) => new Reader(host, root, expected.origin));
      const quorums = () => Promise.all(readers.map(async (reader) => (await reader.head()).tree?.quorum));
      // Hosts learn of a quorum some time after it is reached; a core that stops does not wait long for them.
      await expect.poll(quorums, WAIT).toEqual([status.headSequence, status.headSequence]);
      expect(await core.stop()).toMatchObject({ code: 0 });
      expect(digest).toBe(digestBefore);
      const events = await eventsOf(dataDir);
      expect(events.slice(0, lines.length).map(toLine)).toEqual(lines);
      expect(lineOf(events)).toBe(2);
      const replicated = replicatedOf(events);
      for (const reader of readers) {
        expect(await reader.head()).toMatchObject({
          ...{ tree: { line: 2, sequence: replicated.length, quorum: replicated.length }, staged: null, damaged: 0 },
        });
      }

      const elsewhere = await newDataDir();
      const args = ['restore', '--hosts', urls.join(',')];
      const restored = await Sheratan.run(args, elsewhere, { ...env, SHERATAN_RECOVERY_KEY: expected.recoveryKey });
      expect(restored).toMatchObject({ code: 0 });
      expect(restored.output).toContain(`missions      ${digestBefore}`);
      expect(replicatedOf(await eventsOf(elsewhere)).map(({ id }) => id)).toEqual(replicated.map(({ id }) => id));
    }
    console.log(`crash: taking over, seed ${SEED}, ${JSON.stringify(totals)}`);
  },
);
