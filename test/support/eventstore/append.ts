import type { Metadata, ServiceError } from '@grpc/grpc-js';
import type { Expected } from './commit-check.js';
import {
  accessDenied,
  appendTooLarge,
  invalidArgument,
  missingMetadata,
  notLeader,
  streamDeleted,
  timedOut,
  unavailable,
} from './errors.js';
import type { Node } from './node.js';
import type { Proposed } from './record.js';
import type { Appended } from './store.js';

/** The outcome of an append; each of the two calls that append answers it in its own form. */
export type Verdict =
  | Appended
  | { readonly kind: 'timeout' }
  | { readonly kind: 'tooLarge'; readonly limitBytes: number }
  | { readonly kind: 'accessDenied' }
  | { readonly kind: 'notReady' }
  | { readonly kind: 'badRequest'; readonly error: ServiceError }
  /** The call fails, with all appends on it. */
  | { readonly kind: 'failure'; readonly error: ServiceError }
  | { readonly kind: 'silence' }
  /** Nothing that was sent after it is delivered. */
  | { readonly kind: 'torn' };

/** An event in the form that both calls share. */
interface WireMessage {
  getId(): { getString(): string } | undefined;
  getMetadataMap(): { get(key: string): string | undefined };
  getData_asU8(): Uint8Array;
  getCustomMetadata_asU8(): Uint8Array;
}

export interface Proposal {
  readonly stream: string;
  readonly expected: Expected;
  readonly events: readonly Proposed[];
}

/** @throws ServiceError if type or content type is missing */
export function parseEvent(event: WireMessage): Proposed {
  const [type, contentType] = [event.getMetadataMap().get('type'), event.getMetadataMap().get('content-type')];
  if (type === undefined) throw missingMetadata('type');
  if (contentType === undefined) throw missingMetadata('content-type');
  return {
    id: event.getId()?.getString().toLowerCase() ?? '',
    type,
    isJson: contentType === 'application/json',
    data: event.getData_asU8(),
    metadata: event.getCustomMetadata_asU8(),
  };
}

/** The bytes that an event counts towards the maximum size of an append. */
export function sizeOf(event: Proposed): number {
  return event.data.length + event.metadata.length + event.type.length * 2;
}

/** Applies an append, or the fault that is planned for it. */
export function append(node: Node, metadata: Metadata, { stream, expected, events }: Proposal): Verdict {
  const requiresLeader = metadata.get('requires-leader')[0]?.toString() === 'true';
  if (node.role === 'follower') {
    if (requiresLeader) return { kind: 'failure', error: notLeader(node.leader) };
    // A follower forwards the append; without a leader it times out.
    if (node.leader === undefined) return { kind: 'timeout' };
  }
  const apply = () => node.store.append(stream, expected, events);
  const planned = node.faults.nextAppend();
  switch (planned?.fault) {
    case undefined:
      return apply();
    case 'dropBefore':
      node.drop();
      return { kind: 'torn' };
    case 'dropAfter':
      apply();
      node.drop();
      return { kind: 'silence' };
    case 'stallAfter':
      apply();
      return { kind: 'silence' };
    case 'timeout':
      return { kind: 'timeout' };
    case 'timeoutAfter':
      apply();
      return { kind: 'timeout' };
    case 'unavailable':
      return { kind: 'failure', error: unavailable() };
    case 'notReady':
      return { kind: 'notReady' };
    case 'notLeader':
      return { kind: 'failure', error: notLeader(planned?.leader ?? node.leader) };
  }
}

/** The error of a call that carries a single append or deletion, for a verdict; undefined if it succeeds. */
export function failureOf(verdict: Verdict, stream: string): ServiceError | undefined {
  switch (verdict.kind) {
    case 'deleted':
      return streamDeleted(stream);
    case 'timeout':
      return timedOut();
    case 'tooLarge':
      return appendTooLarge(verdict.limitBytes);
    case 'accessDenied':
      return accessDenied();
    case 'notReady':
      return unavailable();
    case 'badRequest':
    case 'failure':
      return verdict.error;
    case 'success':
    case 'wrongExpectedVersion':
    case 'silence':
    case 'torn':
      return undefined;
  }
}

/** The options that both calls and deletions have; they name the revision differently. */
interface ExpectedOptions {
  hasNoStream(): boolean;
  hasAny(): boolean;
  hasStreamExists(): boolean;
}

/** @param revision the expected revision, if there is one */
export function parseExpected(options: ExpectedOptions, revision: string | undefined): Expected {
  if (revision !== undefined) return BigInt(revision);
  if (options.hasNoStream()) return 'noStream';
  if (options.hasStreamExists()) return 'streamExists';
  if (options.hasAny()) return 'any';
  throw invalidArgument("'None' is not a valid ExpectedStreamRevisionOneofCase");
}

interface Identifier {
  getStreamName_asU8(): Uint8Array;
}

export function streamNameOf(identifier: Identifier | undefined): string {
  return Buffer.from(identifier?.getStreamName_asU8() ?? []).toString('utf8');
}
