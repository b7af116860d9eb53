/**
 * A stand-in for an EventStoreDB server, in this process and over real gRPC, which behaves like the real one and fails on
 * request. Clients connect through a front door that does not read the bytes it passes, so that connections can be reset.
 */
import { randomUUID } from 'node:crypto';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { Access, type Users } from './access.js';
import { batchAppend } from './batch-append.js';
import type { Certificate } from './certificates.js';
import { Cluster, type Member, type Role } from './cluster.js';
import { deleteStream, tombstoneStream } from './deletions.js';
import { broken, notLeader, unavailable } from './errors.js';
import { Faults, type Endpoint, type ReadFault } from './faults.js';
import { getSupportedMethods } from './features-service.js';
import { FrontDoor } from './front-door.js';
import { GroupCommit } from './group-commit.js';
import { featuresService, gossipService, streamsService } from './generated.js';
import { readGossip } from './gossip-service.js';
import { parseVersion, type Node, type Version } from './node.js';
import type { Outlet } from './outlet.js';
import { read } from './read.js';
import { singleAppend } from './single-append.js';
import { Store, type StoreOptions } from './store.js';

export interface StandInOptions extends StoreOptions {
  /** The port of the front door; any free port by default. */
  readonly port?: number;
  /** Where its cluster's nodes say that it is; its front door by default. */
  readonly advertised?: Endpoint;
  /** The store of another stand-in, to be a node of its cluster; a new store by default. */
  readonly store?: Store;
  readonly role?: Role;
  /** In bytes; by default 1 MiB, as in the real server. */
  readonly maxAppendSize?: number;
  /** How long each append's answer is held, in milliseconds. */
  readonly latency?: number;
  /** How long a write to disk takes, in milliseconds: each has all appends that arrived during the one before. */
  readonly commitMs?: number;
  readonly serverVersion?: string;
  /** Passwords by user name. The client sends them only over TLS. */
  readonly users?: Users;
  readonly tls?: Certificate;
}

const MAX_APPEND_SIZE_BYTES = 1024 * 1024;
/** More than the largest append in one message. */
const MAX_MESSAGE_BYTES = 17 * 1024 * 1024;

export class StandIn implements Node, Member {
  readonly id = randomUUID();
  readonly store: Store;
  readonly faults = new Faults();
  readonly access: Access;
  readonly cluster: Cluster;
  readonly maxAppendSize: number;
  readonly version: Version;
  readonly outlets = new Set<Outlet>();
  role: Role;
  readonly #latency: number;
  readonly #commits: GroupCommit;
  checkpointsAtEnd = false;
  invalidPositions = 0;
  readonly #server: Server;
  readonly #door: FrontDoor;
  readonly #innerPort: number;
  readonly #options: StandInOptions;
  readonly #forgetLoss: () => void;

  private constructor(server: Server, innerPort: number, door: FrontDoor, options: StandInOptions) {
    this.#server = server;
    this.#innerPort = innerPort;
    this.#door = door;
    this.#options = options;
    this.store = options.store ?? new Store(options);
    this.cluster = Cluster.of(this.store);
    this.access = new Access(options.users);
    this.role = options.role ?? 'leader';
    this.#latency = options.latency ?? 0;
    this.#commits = new GroupCommit(options.commitMs ?? 0);
    this.maxAppendSize = options.maxAppendSize ?? MAX_APPEND_SIZE_BYTES;
    this.version = parseVersion(options.serverVersion ?? '24.10.0');
    this.#forgetLoss = this.store.onLoss(() => this.drop());
    this.cluster.join(this);
  }

  static async start(options: StandInOptions = {}): Promise<StandIn> {
    const server = new Server({ 'grpc.max_receive_message_length': MAX_MESSAGE_BYTES });
    const { tls } = options;
    const credentials =
      tls === undefined
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(null, [{ private_key: tls.key, cert_chain: tls.certificate }]);
    const innerPort = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
    });
    const door = await FrontDoor.open(innerPort, options.port ?? 0);
    const standIn = new StandIn(server, innerPort, door, options);
    standIn.#serve();
    return standIn;
  }

  get url(): string {
    return this.#urlOf(this.port);
  }

  /** The address behind the front door, which connection faults do not affect. */
  get innerUrl(): string {
    return this.#urlOf(this.#innerPort);
  }

  get port(): number {
    return this.#door.port;
  }

  get endpoint(): Endpoint {
    return this.#options.advertised ?? { host: this.#host, port: this.port };
  }

  get isAlive(): boolean {
    return this.#door.isOpen;
  }

  get leader(): Endpoint | undefined {
    return this.cluster.leader?.endpoint;
  }

  /** The number of open connections. */
  get connections(): number {
    return this.#door.connections;
  }

  /** The number of connections since the start. */
  get accepted(): number {
    return this.#door.accepted;
  }

  /** The number of open subscriptions. */
  get subscriptions(): number {
    return this.outlets.size;
  }

  answerAppend(answer: () => void): void {
    if (this.#latency > 0) setTimeout(answer, this.#latency);
    else this.#commits.add(answer);
  }

  /** Resets every connection. */
  drop(): void {
    this.#door.drop();
  }

  /** Goes down: resets every connection and accepts no more. */
  refuse(): Promise<void> {
    return this.#door.refuse();
  }

  /** Comes up again, on the same port. */
  accept(): Promise<void> {
    return this.#door.accept();
  }

  /** Keeps connections, but passes nothing. */
  stall(): void {
    this.#door.stall();
  }

  unstall(): void {
    this.#door.unstall();
  }

  /** Ends every subscription without an error. */
  endSubscriptions(): void {
    for (const outlet of [...this.outlets]) outlet.end();
  }

  /** Fails every subscription. */
  failSubscriptions(fault: ReadFault, leader = this.leader): void {
    const error = { unavailable, broken, notLeader: () => notLeader(leader) }[fault];
    for (const outlet of [...this.outlets]) outlet.fail(error());
  }

  /** Delivers the next event of each open subscription twice. */
  duplicate(): void {
    for (const outlet of this.outlets) outlet.duplicate();
  }

  /** Sends a checkpoint at a position to each open subscription that has a filter, at any position of its own. */
  checkpoint(position: bigint): void {
    for (const outlet of this.outlets) {
      if (outlet.hasCheckpoints) void outlet.checkpoint({ commit: position, prepare: position });
    }
  }

  /** Puts every checkpoint at the end of the log, beyond its last event, as some versions do. */
  announceCheckpointsBeyondHead(isOn: boolean): void {
    this.checkpointsAtEnd = isOn;
  }

  async stop(): Promise<void> {
    this.cluster.leave(this);
    this.#forgetLoss();
    await this.refuse();
    this.#server.forceShutdown();
  }

  #serve(): void {
    const streams = streamsService.StreamsService;
    this.#server.addService(
      // These encode their answers themselves.
      {
        ...streams,
        read: { ...streams.read, responseSerialize },
        batchAppend: { ...streams.batchAppend, responseSerialize },
      },
      {
        append: singleAppend(this),
        batchAppend: batchAppend(this),
        read: read(this),
        delete: deleteStream(this),
        tombstone: tombstoneStream(this),
      },
    );
    this.#server.addService(featuresService.ServerFeaturesService, { getSupportedMethods: getSupportedMethods(this) });
    this.#server.addService(gossipService.GossipService, { read: readGossip(this.cluster) });
  }

  /** Certificates are issued for names, not addresses. */
  get #host(): string {
    return this.#options.tls === undefined ? '127.0.0.1' : 'localhost';
  }

  #urlOf(port: number): string {
    const { tls, users } = this.#options;
    if (tls === undefined) return `esdb://${this.#host}:${port}?tls=false`;
    const [user] = Object.entries(users ?? {});
    const credentials = user === undefined ? '' : `${user.map(encodeURIComponent).join(':')}@`;
    return `esdb://${credentials}${this.#host}:${port}?tls=true&tlsCAFile=${encodeURIComponent(tls.authorityFile)}`;
  }
}

function responseSerialize(answer: Buffer): Buffer {
  return answer;
}
