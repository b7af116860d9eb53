import type { sendUnaryData } from '@grpc/grpc-js';
import type { Cluster } from './cluster.js';
import { gossip, shared } from './generated.js';

type ClusterInfo = InstanceType<typeof gossip.ClusterInfo>;

const TICKS_PER_MS = 10_000;
const { LEADER, FOLLOWER } = gossip.MemberInfo.VNodeState;

/** `Gossip.Read`: the nodes of the cluster, including those that are down. */
export function readGossip(cluster: Cluster) {
  return (_call: unknown, respond: sendUnaryData<ClusterInfo>): void => {
    const members = Array.from(cluster.members, ({ id, role, endpoint, isAlive }) =>
      new gossip.MemberInfo()
        .setInstanceId(new shared.UUID().setString(id))
        .setTimeStamp(String(Date.now() * TICKS_PER_MS))
        .setState(role === 'leader' ? LEADER : FOLLOWER)
        .setIsAlive(isAlive)
        .setHttpEndPoint(new gossip.EndPoint().setAddress(endpoint.host).setPort(endpoint.port)),
    );
    respond(null, new gossip.ClusterInfo().setMembersList(members));
  };
}
