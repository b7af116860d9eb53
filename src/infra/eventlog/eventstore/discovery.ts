import { setTimeout as delay } from 'node:timers/promises';
import gossipService from '@eventstore/db-client/generated/gossip_grpc_pb.js';
import gossip from '@eventstore/db-client/generated/gossip_pb.js';
import shared from '@eventstore/db-client/generated/shared_pb.js';
import { credentials, Metadata } from '@grpc/grpc-js';
import { reasonOf } from '../../platform/reason.js';
import { nameOf, type Discovery, type Host } from './address.js';
import { DIAL_MS, type Dialer } from './dialer.js';

type Member = InstanceType<typeof gossip.MemberInfo>;

const { LEADER, FOLLOWER, READONLYREPLICA, PREREADONLYREPLICA, READONLYLEADERLESS } = gossip.MemberInfo.VNodeState;
/** The states of a node that can be connected to, by what is preferred. */
const STATES = {
  leader: [LEADER],
  follower: [FOLLOWER],
  readonlyreplica: [READONLYREPLICA, PREREADONLYREPLICA, READONLYLEADERLESS],
  random: [LEADER, FOLLOWER, READONLYREPLICA, PREREADONLYREPLICA, READONLYLEADERLESS],
} satisfies Record<Discovery['preference'], readonly number[]>;

/** No host of a cluster told which node to connect to. */
export class NoNode extends Error {
  override readonly name = 'NoNode';
  /** What came of each host. */
  readonly failures: readonly Error[];

  constructor(hosts: readonly Host[], failures: readonly Error[]) {
    super(hosts.map((host, i) => `${nameOf(host)}: ${reasonOf(failures[i])}`).join('; '));
    this.failures = failures;
  }
}

/**
 * Asks the hosts for the nodes of their cluster, all at once, and takes the first answer that has a node to connect to.
 * @throws NoNode
 */
export async function discover(hosts: readonly Host[], discovery: Discovery, dialer: Dialer): Promise<Host> {
  for (let left = discovery.attempts - 1; ; left -= 1) {
    try {
      return await Promise.any(hosts.map((host) => ask(host, discovery, dialer)));
    } catch (error) {
      if (left <= 0) throw new NoNode(hosts, (error as AggregateError).errors as Error[]);
      await delay(discovery.intervalMs);
    }
  }
}

/** The node to connect to, according to a host. */
async function ask(host: Host, { timeoutMs, preference }: Discovery, dialer: Dialer): Promise<Host> {
  const channel = dialer.open(host);
  try {
    return bestOf(await membersOf(channel, DIAL_MS + timeoutMs), preference);
  } catch (error) {
    // Why no connection could be made says more than gRPC's words for it.
    throw dialer.failureOf(host) ?? error;
  } finally {
    channel.close();
  }
}

function membersOf(channelOverride: ReturnType<Dialer['open']>, timeoutMs: number): Promise<Member[]> {
  // The channel has its own target and credentials.
  const client = new gossipService.GossipClient('', credentials.createInsecure(), { channelOverride });
  return new Promise((resolve, reject) => {
    client.read(new shared.Empty(), new Metadata(), { deadline: Date.now() + timeoutMs }, (error, info) => {
      if (error === null) resolve(info.getMembersList());
      else reject(error);
    });
  });
}

/** @throws Error if no node can be connected to */
function bestOf(members: readonly Member[], preference: Discovery['preference']): Host {
  const among = (states: readonly number[]) =>
    members.filter((member) => member.getIsAlive() && states.includes(member.getState()));
  const preferred = among(STATES[preference]);
  const nodes = preferred.length > 0 ? preferred : among(STATES.random);
  const end = nodes[Math.floor(Math.random() * nodes.length)]?.getHttpEndPoint();
  if (end === undefined) throw new Error('it knows no node that takes calls');
  return { host: end.getAddress(), port: end.getPort() };
}
