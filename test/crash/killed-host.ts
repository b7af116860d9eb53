import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '../../src/infra/clock.js';
import { HttpHost } from '../../src/infra/offgrid/replicator/http-host.js';
import { survey, type Source } from '../../src/infra/offgrid/restore/source.js';
import { Connection } from '../../src/infra/sqlite/connection.js';
import { Sheratan } from '../support/core.js';
import { quietPort } from '../support/ports.js';
import { AUTH_KEY } from '../support/offgrid/host.js';
import { ORIGIN } from '../support/offgrid/writer.js';
import type { SignedHead } from '../../src/infra/offgrid/wire/head.js';

/** The longest a host may take to say where it listens, in milliseconds. */
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
  #seen: SignedHead | undefined;

  private constructor(dataDir: string, name: string, port: number, env: Readonly<Record<string, string>>) {
    this.url = `http://127.0.0.1:${port}`;
    this.folder = join(dataDir, name);
    this.#name = name;
    this.#dataDir = dataDir;
    this.#env = env;
  }

  /** One that does not run yet. */
  static async create(dataDir: string, name: string, env: Readonly<Record<string, string>>): Promise<KilledHost> {
    return new KilledHost(dataDir, name, await quietPort(), env);
  }

  /** Starts it. @param killAt how far into its start it is killed first, from 0 to 1, if it is */
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

  /** What is wrong with its head: it is signed by the same host, and goes on from the one it signed before. */
  async check(): Promise<string[]> {
    const { head } = await this.source();
    const before = this.#seen;
    this.#seen = head;
    if (before === undefined || before.sequence === 0) return [];
    if (head.sequence < before.sequence || head.epoch < before.epoch)
      return [`${this.#name} signed for ${before.sequence}, and has ${head.sequence} events`];
    const root = await this.#client.rootAt(ORIGIN, before.sequence);
    return root === before.root ? [] : [`${this.#name} has other events than it signed for at ${before.sequence}`];
  }

  /** It, as somebody who restores sees it: its head is fresh, and signed with the key it has had from the first. */
  async source(): Promise<Source> {
    const pinned = this.#fingerprint === undefined ? {} : { fingerprint: this.#fingerprint };
    const portOf = (url: string, host?: string) => new HttpHost(url, AUTH_KEY, systemClock, host);
    const { sources, absent } = await survey([{ url: this.url, weight: 1, ...pinned }], ORIGIN, portOf);
    const [source] = sources;
    if (source === undefined) throw new Error(`${this.#name}: ${absent.map(({ why }) => why).join()}`);
    this.#fingerprint = source.host;
    return source;
  }

  /** How many events it has on its disk, whether it runs or not. */
  async stored(): Promise<number> {
    const [row] = await this.inFile<{ sequence: number }>(`SELECT sequence FROM origins WHERE origin = '${ORIGIN}'`);
    return row?.sequence ?? 0;
  }

  /** Looks into its file. */
  async inFile<R>(sql: string): Promise<R[]> {
    // Open for a moment only: while another has the file open, a host that starts need not recover it.
    const file = await Connection.open(join(this.folder, 'host.db'), 'read');
    try {
      return await file.all<R>(sql);
    } finally {
      await file.close();
    }
  }

  get #client(): HttpHost {
    return new HttpHost(this.url, AUTH_KEY, systemClock, this.#fingerprint);
  }

  #spawn(): Sheratan {
    const args = ['host', '--name', this.#name, '--port', new URL(this.url).port];
    this.#process = new Sheratan(args, this.#dataDir, this.#env);
    return this.#process;
  }
}
