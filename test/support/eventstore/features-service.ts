import type { sendUnaryData } from '@grpc/grpc-js';
import { features } from './generated.js';
import type { Node } from './node.js';

type SupportedMethods = InstanceType<typeof features.SupportedMethods>;

const STREAMS = 'event_store.client.streams.streams';
/** The methods that can be called, with the features that were added to each. */
const METHODS: readonly (readonly [service: string, method: string, features: string[]])[] = [
  [STREAMS, 'read', ['position', 'events']],
  [STREAMS, 'append', []],
  [STREAMS, 'delete', []],
  [STREAMS, 'tombstone', []],
  [STREAMS, 'batchappend', ['deadline_duration']],
  ['event_store.client.gossip.gossip', 'read', []],
  ['event_store.client.server_features.serverfeatures', 'getsupportedmethods', []],
];

/** `GetSupportedMethods`, by which a client learns that it may append in batches. */
export function getSupportedMethods(node: Node) {
  return (_call: unknown, respond: sendUnaryData<SupportedMethods>): void => {
    const methods = METHODS.map(([service, method, list]) =>
      new features.SupportedMethod().setServiceName(service).setMethodName(method).setFeaturesList(list),
    );
    respond(
      null,
      new features.SupportedMethods().setEventStoreServerVersion(node.version.text).setMethodsList(methods),
    );
  };
}
