import { setTimeout as delay } from 'node:timers/promises';
import { isReplicated, type RecordedEvent } from '../../src/domain/event.js';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { eventText } from '../../src/infra/offgrid/protocol/event-text.js';
import { Connection } from '../../src/infra/sqlite/connection.js';
import { newDataDir, Sheratan } from '../support/core.js';
import { collect } from '../support/events.js';
import { withLogOf } from '../support/log-server.js';
import { AUTH_KEY } from '../support/offgrid/host.js';
import { quietPort } from '../support/ports.js';
import type { Random } from '../support/random.js';
import { auditHost } from './host-audit.js';
import { KilledHost } from './killed-host.js';

/** How often hosts are killed with the core, or shortly after. */
const TOGETHER = 0.25;
/** How much later than the core they are killed then, at most, in milliseconds. */
const NEARLY_MS = 30;
/** How much later otherwise, at most, in milliseconds: while the core starts again. */
const LATER_MS = 500;
/** How often both hosts are killed. */
const BOTH = 0.1;
/** How often a host is killed again while it starts, and how often it remains stopped for a while. */
const EARLY_KILLS = 0.1;
const LEFT_DEAD = 0.3;
/** How long it remains stopped, at most, in milliseconds. */
const DEAD_MS = 800;
/** How long a mutation waits for a quorum, in seconds: less than a core runs. */
const REPLICATED_TIMEOUT_S = '0.2';

/** The hosts of a machine: a quorum is both. */
export class Replicas {
  /** Settings of the core. */
  readonly env: Readonly<Record<string, string>>;
  readonly #dataDir: string;
  readonly #hosts: readonly KilledHost[];

  private constructor(dataDir: string, hosts: readonly KilledHost[], env: Readonly<Record<string, string>>) {
    this.#dataDir = dataDir;
    this.#hosts = hosts;
    this.env = env;
  }

  /** Starts two hosts in a data folder. */
  static async start(dataDir: string): Promise<Replicas> {
    const shared = { OFFGRID_AUTH_KEY: AUTH_KEY, OFFGRID_BROKER_URL: `http://127.0.0.1:${await quietPort()}` };
    const hosts = [
      await KilledHost.create(dataDir, 'host-a', shared),
      await KilledHost.create(dataDir, 'host-b', shared),
    ];
    await Promise.all(hosts.map((host) => host.start()));
    return new Replicas(dataDir, hosts, {
      ...shared,
      OFFGRID_STORAGE_ENABLED: 'true',
      OFFGRID_STORAGE_HOSTS: hosts.map(({ url }) => url).join(','),
      OFFGRID_REQUIRED_ACKS: String(hosts.length),
      SHERATAN_REPLICATED_TIMEOUT: REPLICATED_TIMEOUT_S,
    });
  }

  get totals() {
    const sum = (count: (host: KilledHost) => number) => this.#hosts.reduce((total, host) => total + count(host), 0);
    return { kills: sum(({ totals }) => totals.kills), duringStart: sum(({ totals }) => totals.duringStart) };
  }

  /** Kills hosts while a core runs, with it or soon after, and starts them again. Resolves with what is wrong then. */
  async disturb(coreLifeMs: number, random: Random): Promise<string[]> {
    const victims = random.chance(BOTH) ? this.#hosts : [random.pick(this.#hosts)];
    const afterMs = random.chance(TOGETHER)
      ? coreLifeMs + random.between(0, NEARLY_MS)
      : random.between(0, coreLifeMs + LATER_MS);
    const plans = victims.map((host) => ({
      host,
      deadMs: random.chance(LEFT_DEAD) ? random.between(0, DEAD_MS) : 0,
      killAt: random.chance(EARLY_KILLS) ? random.next() : undefined,
    }));
    await delay(afterMs);
    const found = plans.map(async ({ host, deadMs, killAt }) => {
      await host.kill();
      await delay(deadMs);
      await host.start(killAt);
      return host.check();
    });
    return (await Promise.all(found)).flat();
  }

  /** How many events each host has on its disk. */
  held(): Promise<number[]> {
    return Promise.all(this.#hosts.map((host) => host.stored()));
  }

  /** Whether a quorum has signed for this many events, and the core knows it. */
  async isComplete(count: number): Promise<boolean> {
    const outbox = await Connection.open(corePaths(this.#dataDir).outbox, 'read');
    try {
      const [pending] = await outbox.all<{ total: number; pending: number }>(
        "SELECT count(*) AS total, count(*) FILTER (WHERE status <> 'completed') AS pending FROM outbox",
      );
      return pending?.total === count && pending.pending === 0;
    } finally {
      await outbox.close();
    }
  }

  /**
   * Returns how the events of hosts and log differ, and whether what is restored from the hosts is the same.
   * @param events of the log, which no core has open
   * @param digest of its missions
   */
  async audit(events: readonly RecordedEvent[], digest: string): Promise<string[]> {
    const replicated = replicatedOf(events);
    const found = this.#hosts.map(async (host) => [
      ...(await host.check()),
      ...(await auditHost(host, replicated, this.#dataDir)),
    ]);
    const wrong = (await Promise.all(found)).flat();
    return [...wrong, ...(await this.#restore(replicated, digest))];
  }

  async kill(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.kill()));
  }

  /**
   * Restores from each host alone, as they are after the core was killed: each must have all events that were ever at quorum,
   * because a quorum is both.
   * @param events of the log, which no core has open
   * @param answered positions that were answered as REPLICATED
   */
  async restoreFromEach(events: readonly RecordedEvent[], answered: readonly bigint[]): Promise<string[]> {
    const { key, hosts } = await this.#exported();
    const replicated = replicatedOf(events);
    const last = answered.reduce((highest, position) => (position > highest ? position : highest), 0n);
    const least = replicated.filter(({ position }) => position <= last).length;
    const wrong: string[] = [];
    for (const host of hosts.split(',')) {
      const { restored, why } = await this.#restoreFrom(host, key);
      if (restored === undefined) {
        if (least > 0) wrong.push(`${least} events were at quorum, but ${host} alone does not give them: ${why}`);
        continue;
      }
      if (restored.length < least) wrong.push(`${host} alone gives ${restored.length} of ${least} events at quorum`);
      if (textsOf(restored) !== textsOf(replicated.slice(0, restored.length)))
        wrong.push(`the ${restored.length} events that ${host} alone gives are not the first of the log`);
    }
    return wrong;
  }

  /** Restores as the output of the machine's own `keys export` describes. */
  async #restore(replicated: readonly RecordedEvent[], digest: string): Promise<string[]> {
    const { key, hosts } = await this.#exported();
    const stateOf = () => Promise.all(this.#hosts.map((host) => host.inFile('SELECT * FROM origins')));
    const before = JSON.stringify(await stateOf());
    const { restored, shown, why } = await this.#restoreFrom(hosts, key);
    if (restored === undefined) return [why];
    const wrong = shown === digest ? [] : [`the restored missions have digest ${shown}, not ${digest}`];
    if (textsOf(restored) !== textsOf(replicated))
      wrong.push(`${restored.length} events were restored, which are not the ${replicated.length} replicated ones`);
    if (JSON.stringify(await stateOf()) !== before) wrong.push('the restore has changed what a host keeps');
    const evidence = await Promise.all(this.#hosts.map((host) => host.inFile('SELECT 1 FROM evidence')));
    return [...wrong, ...(evidence.flat().length === 0 ? [] : ['the restore left evidence of a fork'])];
  }

  /** The recovery key, and the hosts with their fingerprints. */
  async #exported() {
    const exported = (await Sheratan.run(['keys', 'export'], this.#dataDir, this.env)).output.join('\n');
    const key = /^recovery key {2}(\S+)$/m.exec(exported)?.[1] ?? '';
    const hosts = /sheratan restore --hosts '(\S+)' --key -$/m.exec(exported)?.[1] ?? '';
    return { key, hosts };
  }

  /** The replicated events of the restored log and the digest of its missions, or why there is none. */
  async #restoreFrom(hosts: string, key: string) {
    const dataDir = await newDataDir();
    const env = { ...this.env, SHERATAN_RECOVERY_KEY: key };
    const { code, output, errors } = await Sheratan.run(['restore', '--hosts', hosts], dataDir, env);
    const why = `the restore ended with ${code}: ${errors.join('\n')}`;
    if (code !== 0) return { why };
    // Local events are not shipped; the restore records its own.
    const restored = replicatedOf(await withLogOf(dataDir, {}, (log) => collect(log.readAll())));
    const [shown] = output.flatMap((line) => /^missions +([0-9a-f]{64})$/.exec(line)?.[1] ?? []);
    return { restored, shown, why };
  }
}

function textsOf(events: readonly RecordedEvent[]): string {
  return JSON.stringify(events.map(eventText));
}

/** The events that hosts get, in their order. */
export function replicatedOf(events: readonly RecordedEvent[]): RecordedEvent[] {
  return events.filter(isReplicated);
}
