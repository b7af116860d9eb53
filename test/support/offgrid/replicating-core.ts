import { randomBytes } from 'node:crypto';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { outbox } from '../../../src/projections/outbox.js';
import type { JsonObject } from '../../../src/domain/json.js';
import type { WantedHost } from '../../../src/domain/policy.js';
import { systemClock, systemTime } from '../../../src/infra/platform/clock.js';
import { RootKey } from '../../../src/infra/crypto/root-key.js';
import { EmbeddedLog } from '../../../src/infra/eventlog/embedded/embedded-log.js';
import type { HostClient } from '../../../src/infra/offgrid/protocol/host-client.js';
import { hostClientUntil } from '../../../src/infra/offgrid/protocol/host-clients.js';
import type { HaltReason } from '../../../src/domain/writer.js';
import { Replicator } from '../../../src/infra/offgrid/replication/replicator.js';
import { WriterFile } from '../../../src/infra/offgrid/replication/writer-file.js';
import { ReplicationEvents } from '../../../src/infra/offgrid/replication/replication-events.js';
import { ProjectedBacklog } from '../../../src/infra/offgrid/replication/projected-backlog.js';
import { SqliteFrontiers } from '../../../src/infra/offgrid/replication/sqlite-frontiers.js';
import type { HostOptions, RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { Projector } from '../../../src/infra/projector/projector.js';
import { quiet } from '../quiet.js';
import { AUTH_KEY, newFolder, newHost } from './host.js';
import { ORIGIN, Reader } from './by-hand.js';

/** How long tests wait for replication, in milliseconds, on a busy machine. */
export const WAIT = { timeout: 120_000, interval: 20 };

/** The settings of a test's core. */
export interface CoreOptions {
  readonly folder?: string;
  readonly root?: RootKey;
  readonly hosts: readonly WantedHost[];
  readonly required?: number;
  readonly dishonestWeight?: number;
  readonly origin?: string;
  /** Another core with which it shares the log. */
  readonly shared?: ReplicatingCore;
  readonly randomBytes?: (length: number) => Uint8Array;
  /** Wraps the client of each host, for example to break the link. */
  readonly between?: (client: HostClient) => HostClient;
}

/** The parts of a core that replicate, in this process: a log, its outbox and a replicator, over real sockets and files. */
export class ReplicatingCore {
  readonly folder: string;
  readonly root: RootKey;
  readonly log: EmbeddedLog;
  readonly backlog: ProjectedBacklog;
  readonly replicator: Replicator;
  readonly #close: () => Promise<void>;

  private constructor(
    core: Pick<ReplicatingCore, 'folder' | 'root' | 'log' | 'backlog' | 'replicator'>,
    close: () => Promise<void>,
  ) {
    ({
      folder: this.folder,
      root: this.root,
      log: this.log,
      backlog: this.backlog,
      replicator: this.replicator,
    } = core);
    this.#close = close;
  }

  /** Starts on a folder; it stops when the test ends. */
  static async start({ hosts, required, ...options }: CoreOptions): Promise<ReplicatingCore> {
    const { shared, between = (client) => client } = options;
    const root = options.root ?? shared?.root ?? RootKey.generate();
    const folder = options.folder ?? (await newFolder());
    const log = shared?.log ?? (await EmbeddedLog.open(join(folder, 'log.db'), systemClock));
    const projector = await Projector.open(join(folder, 'outbox.db'), outbox, log, quiet);
    await projector.start();
    const backlog = new ProjectedBacklog(projector, log);
    await expect.poll(() => backlog.catchUp(), WAIT).toBe(true);
    const frontiers = await SqliteFrontiers.open(join(folder, 'frontiers.db'), log.logId);
    const replicator = await Replicator.start({
      ...{ origin: options.origin ?? ORIGIN, root, logId: log.logId, outbox: backlog, frontiers, logger: quiet },
      randomBytes: options.randomBytes ?? randomBytes,
      wanted: { hosts, required },
      dishonestWeight: options.dishonestWeight ?? 0,
      journal: new ReplicationEvents(log, projector, systemClock),
      store: new WriterFile(join(folder, 'writer.json')),
      time: systemTime(systemClock),
      clientOf: (url, host, signal) => {
        const known = host === undefined ? {} : { host };
        return between(hostClientUntil(signal, { url, authKey: AUTH_KEY, clock: systemClock, ...known }));
      },
      onHalted: () => undefined,
    });
    const core = new ReplicatingCore({ folder, root, log, backlog, replicator }, async () => {
      await replicator.stop();
      await projector.stop();
      await frontiers.close();
      if (shared === undefined) await log.close();
    });
    onTestFinished(() => core.stop());
    return core;
  }

  #stopped: Promise<void> | undefined;
  stop(): Promise<void> {
    this.#stopped ??= this.#close();
    return this.#stopped;
  }

  /** Records `count` missions. */
  async record(count: number, name = 'mission', characters = 0): Promise<void> {
    for (let i = 0; i < count; i += 1) {
      const id = `${name}-${i}-${randomBytes(4).toString('hex')}`;
      const at = new Date().toISOString();
      const metadata = { at, actor: 'test', correlationId: id, causationId: id, schemaVersion: 1 };
      const data = { missionId: id, title: name, description: 'x'.repeat(characters), metadata: {}, tags: [] };
      const event = { id: crypto.randomUUID(), type: 'MissionCreated', data, metadata };
      await this.log.append(`mission-${id}`, [event], 'no-stream');
    }
  }

  /** The reason why it takes no more commands. */
  get halted(): HaltReason | undefined {
    return this.replicator.writer.halted;
  }

  known() {
    return this.backlog.known();
  }

  /** The data of the events of a type, in log order. */
  async events(type: string): Promise<JsonObject[]> {
    const found: JsonObject[] = [];
    for await (const { data } of this.log.readAll({ filter: { types: [type] } })) found.push(data);
    return found;
  }

  /** Waits until all events are at quorum. Resolves with the sequence of the last. */
  async settles(): Promise<number> {
    const head = async () => {
      await this.backlog.catchUp();
      const { head, quorum } = await this.known();
      return head > 1 && quorum === head;
    };
    await expect.poll(head, WAIT).toBe(true);
    return (await this.known()).head;
  }

  /** A copy of the folder as it is now; the core must have stopped. */
  copy(): Promise<string> {
    return copyOf(this.folder);
  }
}

/** Bytes that are the same for every core: two cores are then one process that was resumed twice. */
export function sameBytes(): (length: number) => Uint8Array {
  let next = 0;
  return (length) => Uint8Array.from({ length }, () => (next = (next + 37) % 256));
}

/** A copy of a folder, which is removed when the test ends. */
export async function copyOf(folder: string): Promise<string> {
  const copy = await newFolder();
  await cp(folder, copy, { recursive: true });
  return copy;
}

/** A host that can be stopped and started again, on its folder or on another's. */
export class RestartableHost {
  readonly folder: string;
  #host: RunningHost;

  private constructor(folder: string, host: RunningHost) {
    this.folder = folder;
    this.#host = host;
  }

  static async start(options: Partial<HostOptions> = {}): Promise<RestartableHost> {
    const folder = await newFolder();
    return new RestartableHost(folder, await newHost({ folder, ...options }));
  }

  get url(): string {
    return this.#host.url;
  }

  get identity(): RunningHost['identity'] {
    return this.#host.identity;
  }

  get id(): string {
    return this.#host.identity.id;
  }

  stop(): Promise<void> {
    return this.#host.close();
  }

  async restart(options: Partial<HostOptions> = {}): Promise<void> {
    const port = Number(new URL(this.url).port);
    this.#host = await newHost({ folder: this.folder, port, ...options });
  }

  head(root: RootKey, origin = ORIGIN) {
    return new Reader(this.#host, root, origin).head();
  }
}

/** Hosts in the form in which the settings name them. */
export function wanted(...hosts: readonly { readonly url: string }[]): WantedHost[] {
  return hosts.map(({ url }) => ({ url, weight: 1 }));
}
