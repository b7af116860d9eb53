import { existsSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/infra/platform/clock.js';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { readKeyring, writeKeyring } from '../../src/infra/crypto/keyring-file.js';
import { formatRecoveryKey } from '../../src/infra/crypto/recovery-key.js';
import type { RootKey } from '../../src/infra/crypto/root-key.js';
import { EmbeddedLog } from '../../src/infra/eventlog/embedded/embedded-log.js';
import { eventText } from '../../src/infra/offgrid/protocol/event-text.js';
import { WriterFile } from '../../src/infra/offgrid/replication/writer-file.js';
import { verify } from '../../src/infra/projector/verify.js';
import { missions } from '../../src/projections/missions.js';
import { outbox } from '../../src/projections/outbox.js';
import { newDataDir, Sheratan } from '../support/core.js';
import { collect } from '../support/events.js';
import { TestNode } from '../support/node.js';
import { newHost } from '../support/offgrid/host.js';
import { FIRST_EVENTS, replicating, settled } from '../support/offgrid/machine.js';
import { Random } from '../support/random.js';
import { replicatedOf } from './replicas.js';
import { SEED } from '../support/seed.js';

/** How often a restore is killed; set it higher to look for rare faults. */
const ROUNDS = Number(process.env['RESTORE_CRASH_ROUNDS'] ?? 20);
/** After this many killed restores in the same folder, one is run to its end. */
const KILLS_OF_A_FOLDER = 4;
const MISSIONS = 150;
const TIMEOUT_MS = 240_000 + ROUNDS * 20_000;

/** What a restore must give, and what it is run with. */
class Original {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly #root: RootKey;
  readonly #texts: readonly string[];
  /** The digest of its missions. */
  readonly #digest: string;

  private constructor(urls: readonly string[], root: RootKey, texts: readonly string[], digest: string) {
    this.args = ['restore', '--hosts', urls.join(',')];
    this.env = { ...replicating(urls), SHERATAN_RECOVERY_KEY: formatRecoveryKey(root) };
    this.#root = root;
    this.#texts = texts;
    this.#digest = digest;
  }

  /** A lost core whose hosts have signed for all of it. */
  static async make(): Promise<Original> {
    const hosts = [await newHost(), await newHost()];
    const urls = hosts.map(({ url, identity }) => `${url}#${identity.id}`);
    const node = await TestNode.start(replicating(urls, { OFFGRID_REQUIRED_ACKS: '2' }));
    onTestFinished(() => node.stop());
    for (let i = 0; i < MISSIONS; i += 1) await node.newMission({ description: 'x'.repeat((i * 137) % 3_000) });
    await settled(node, FIRST_EVENTS + MISSIONS);
    await node.halt();
    const { keyring } = corePaths(node.folder);
    const root = await readKeyring(keyring, undefined);
    if (root === undefined) throw new Error('the core has no keyring');
    const { texts, digest } = await contentsOf(node.folder);
    return new Original(urls, root, texts, digest);
  }

  /** Puts the keyring of the core where one is to be restored. */
  async giveKeyring(dataDir: string): Promise<void> {
    const { folder, keyring } = corePaths(dataDir);
    await mkdir(folder, { recursive: true });
    await writeKeyring(keyring, this.#root, undefined);
  }

  /** States that a folder holds a complete core, and nothing of the restores before. */
  async expectIn(dataDir: string, why: string): Promise<void> {
    const { keyring, writer } = corePaths(dataDir);
    const { texts, digest, logId, head, positions } = await contentsOf(dataDir);
    expect(positions, why).toEqual([head, head]);
    expect(texts, why).toEqual(this.#texts);
    expect(digest, why).toBe(this.#digest);
    expect((await readKeyring(keyring, undefined))?.id, why).toBe(this.#root.id);
    expect(await new WriterFile(writer).load(), why).toMatchObject({ logId, epoch: expect.any(Number) });
  }
}

/** The replicated events of a log, and the digest of its missions; both read models are verified by a replay. */
async function contentsOf(dataDir: string) {
  const paths = corePaths(dataDir);
  const log = await EmbeddedLog.open(paths.log, systemClock);
  try {
    const texts = replicatedOf(await collect(log.readAll())).map(eventText);
    const [shown, sent] = [
      await verify(paths.missions, missions, log, dataDir),
      await verify(paths.outbox, outbox, log, dataDir),
    ];
    expect([shown.difference, sent.difference]).toEqual([undefined, undefined]);
    // A core that stops may have recorded last what its hosts have, without folding it.
    const positions = [shown.position, sent.position];
    return { texts, digest: shown.storedDigest, logId: log.logId, head: await log.head(), positions };
  } finally {
    await log.close();
  }
}

/** Whether a folder holds a core; a keyring alone is not a core. */
async function hasCore(dataDir: string): Promise<boolean> {
  const { folder } = corePaths(dataDir);
  const names = existsSync(folder) ? await readdir(folder) : [];
  return names.some((name) => name !== 'keyring.json');
}

/** Whether a restore has built its read models: it makes the folder the core's next. */
function hasBuilt({ output }: Sheratan): boolean {
  return output.some((line) => line.startsWith('missions '));
}

/** Resolves when a condition holds, or the restore has ended. */
async function until(restore: Sheratan, isSo: () => boolean): Promise<void> {
  while (!restore.hasEnded && !isSo()) await delay(1);
}

it(
  `a restore that is killed ${ROUNDS} times leaves no core or a complete one, and succeeds when it is run again (TEST_SEED=${SEED})`,
  { timeout: TIMEOUT_MS },
  async () => {
    const random = new Random(SEED);
    const original = await Original.make();
    const restored = (dataDir: string) => new Sheratan(original.args, dataDir, original.env);
    const restoring = (dataDir: string) => `${corePaths(dataDir).folder}.restoring`;
    const toItsEnd = async (dataDir: string, why: string) => {
      const restore = restored(dataDir);
      const { code } = await restore.ended;
      expect([code, code === 0 ? [] : restore.errors], why).toEqual([0, []]);
      await original.expectIn(dataDir, why);
      const left = (await readdir(dataDir)).filter((name) => name.startsWith('core.'));
      expect(left, why).toEqual([]);
    };

    // An undisturbed restore shows how long each part takes.
    const first = await newDataDir();
    // How much shorter a restore was when it was not killed in time: the machine may have been busier at first.
    let pace = 1;
    const startedAt = performance.now();
    const whole = restored(first);
    await until(whole, () => existsSync(restoring(first)));
    const stagedAt = performance.now();
    await until(whole, () => hasBuilt(whole));
    const builtAt = performance.now();
    await whole.ended;
    const endedAt = performance.now();
    await original.expectIn(first, 'the first restore');

    const moments: readonly ((restore: Sheratan, dataDir: string) => Promise<unknown>)[] = [
      () => delay(random.next() * pace * (endedAt - startedAt)),
      async (restore, dataDir) => {
        await until(restore, () => existsSync(restoring(dataDir)));
        await delay(random.next() * pace * (endedAt - stagedAt));
      },
      async (restore) => {
        await until(restore, () => hasBuilt(restore));
        await delay(random.next() * pace * (endedAt - builtAt));
      },
    ];
    const totals = { rounds: ROUNDS, killed: 0, halfWay: 0, whole: 0, ends: 0 };
    let dataDir = await newDataDir();
    let kills = 0;
    const takeAnother = async () => {
      dataDir = await newDataDir();
      kills = 0;
      if (random.chance(0.5)) await original.giveKeyring(dataDir);
    };
    for (let round = 1; round <= ROUNDS; round += 1) {
      // What an interrupted restore has left, with a file that is not its own.
      if (existsSync(restoring(dataDir))) await writeFile(join(restoring(dataDir), 'left-behind'), 'by the last one');
      const begunAt = performance.now();
      const restore = restored(dataDir);
      onTestFinished(() => restore.kill());
      void restore.ended.then(({ code }) => {
        if (code === 0) pace = Math.min(pace, (performance.now() - begunAt) / (endedAt - startedAt));
      });
      await moments[round % moments.length]!(restore, dataDir);
      await restore.kill();
      const { signal } = await restore.ended;
      if (signal === 'SIGKILL') totals.killed += 1;
      kills += 1;
      if (await hasCore(dataDir)) {
        totals.whole += 1;
        await original.expectIn(dataDir, `round ${round}`);
        await takeAnother();
        continue;
      }
      expect(signal, `round ${round}`).toBe('SIGKILL');
      if (existsSync(restoring(dataDir))) totals.halfWay += 1;
      if (kills < KILLS_OF_A_FOLDER && round < ROUNDS) continue;
      await toItsEnd(dataDir, `after round ${round}`);
      totals.ends += 1;
      if (round < ROUNDS) await takeAnother();
    }
    console.log(`crash: restore, seed ${SEED}, ${JSON.stringify(totals)}`);
    expect(totals.halfWay).toBeGreaterThanOrEqual(Math.floor(ROUNDS / 6));

    // A core starts on the last restored folder, and its hosts have all of it.
    if (!(await hasCore(dataDir))) await toItsEnd(dataDir, 'the last restore');
    const core = await Sheratan.serve(dataDir, original.env);
    await settled(core, MISSIONS);
  },
);
