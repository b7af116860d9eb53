import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '../../src/infra/platform/clock.js';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { equalBytes } from '../../src/infra/crypto/bytes.js';
import { readKeyring } from '../../src/infra/crypto/keyring-file.js';
import { HostClients } from '../../src/infra/offgrid/protocol/host-clients.js';
import { compareRank, type Tree } from '../../src/infra/offgrid/protocol/tree.js';
import { surveyHosts, type HeardHost } from '../../src/infra/offgrid/restore/host-survey.js';
import { Connection } from '../../src/infra/sqlite/connection.js';
import { Sheratan } from '../support/core.js';
import { ORIGIN } from '../support/offgrid/by-hand.js';
import { AUTH_KEY } from '../support/offgrid/host.js';
import { quietPort } from '../support/ports.js';

/** The longest that a host may take to print its address, in milliseconds. */
const PATIENCE_MS = 60_000;

/** A `sheratan host` that is killed and started again on the same folder and port. */
export class KilledHost {
  readonly url: string;
  readonly folder: string;
  readonly totals = { kills: 0, duringStart: 0 };
  readonly #name: string;
  readonly #dataDir: string;
  readonly #env: Readonly<Record<string, string>>;
  #process: Sheratan | undefined;
  #startMs = 500;
  #fingerprint: string | undefined;
  /** The tree of the head that was seen last. */
  #seen: Tree | undefined;

  private constructor(dataDir: string, name: string, port: number, env: Readonly<Record<string, string>>) {
    this.url = `http://127.0.0.1:${port}`;
    this.folder = join(dataDir, name);
    this.#name = name;
    this.#dataDir = dataDir;
    this.#env = env;
  }

  /** A host that does not run yet. */
  static async create(dataDir: string, name: string, env: Readonly<Record<string, string>>): Promise<KilledHost> {
    return new KilledHost(dataDir, name, await quietPort(), env);
  }

  /** Starts it. @param killAt the point of its start at which it is killed first, from 0 to 1; by default it is not */
  async start(killAt?: number): Promise<void> {
    if (killAt !== undefined) {
      this.#spawn();
      await delay(this.#startMs * killAt);
      this.totals.duringStart += 1;
      await this.kill();
    }
    const startedAt = performance.now();
    const host = this.#spawn();
    while (!host.output.some((line) => line.startsWith('Host '))) {
      if (host.hasEnded || performance.now() - startedAt > PATIENCE_MS)
        throw new Error(`${this.#name} does not start:\n${[...host.output, ...host.errors].join('\n')}`);
      await delay(5);
    }
    this.#startMs = performance.now() - startedAt;
  }

  async kill(): Promise<void> {
    const host = this.#process;
    this.#process = undefined;
    if (host === undefined) return;
    this.totals.kills += 1;
    await host.kill();
  }

  /**
   * Returns what is wrong with its head: it must be signed by the same host, not rank below the previous head, and have the
   * same first events, because the log has one history.
   */
  check(): Promise<string[]> {
    return this.ask(async ({ head, client }) => {
      const before = this.#seen;
      const now = head.tree?.value;
      this.#seen = now ?? before;
      if (before === undefined) return [];
      if (compareRank(now, before) < 0)
        return [`${this.#name} has fallen from ${ranked(before)} to ${now === undefined ? 'nothing' : ranked(now)}`];
      const { head: root } = await client.roots(ORIGIN, before.sequence);
      if (root !== null && equalBytes(root, before.root)) return [];
      return [`${this.#name} has other events than it signed for at ${before.sequence}`];
    });
  }

  /** Asks it as a restore does: its head must be fresh, and signed with the key that it had from the start. */
  async ask<R>(use: (host: HeardHost) => Promise<R>): Promise<R> {
    const root = await readKeyring(corePaths(this.#dataDir).keyring, undefined);
    if (root === undefined) throw new Error('the core has no keyring');
    const pinned = this.#fingerprint === undefined ? {} : { fingerprint: this.#fingerprint };
    const clients = new HostClients(AUTH_KEY, systemClock);
    const clientOf = (url: string, host?: string) => clients.of(url, host);
    try {
      const hosts = [{ url: this.url, weight: 1, ...pinned }];
      const { heard, unheard } = await surveyHosts({ origin: ORIGIN, root, hosts, clientOf });
      const [host] = heard;
      if (host === undefined) throw new Error(`${this.#name}: ${unheard.map(({ why }) => why).join()}`);
      this.#fingerprint = host.host;
      return await use(host);
    } finally {
      clients.close();
    }
  }

  /** How many events of its head it has on its disk, whether it runs or not. */
  async stored(): Promise<number> {
    const [row] = await this.inFile<{ sequence: number }>(
      `SELECT head_sequence AS sequence FROM origins WHERE origin = '${ORIGIN}'`,
    );
    return row?.sequence ?? 0;
  }

  /** Reads from its file. */
  async inFile<R>(sql: string): Promise<R[]> {
    // Open for a moment only: while another has the file open, a host that starts need not recover it.
    const file = await Connection.open(join(this.folder, 'host.db'), 'read');
    try {
      return await file.all<R>(sql);
    } finally {
      await file.close();
    }
  }

  #spawn(): Sheratan {
    const args = ['host', '--name', this.#name, '--port', new URL(this.url).port];
    this.#process = new Sheratan(args, this.#dataDir, this.#env);
    return this.#process;
  }
}

function ranked({ line, epoch, sequence }: Tree): string {
  return `event ${sequence} of epoch ${epoch} in line ${line}`;
}
