import type { sendUnaryData, ServerUnaryCall, ServiceError } from '@grpc/grpc-js';
import { failureOf, parseExpected, streamNameOf } from './append.js';
import { toVersion } from './commit-check.js';
import { invalidArgument, notLeader, wrongExpectedVersion } from './errors.js';
import { streams } from './generated.js';
import type { Node } from './node.js';

type DeleteRequest = InstanceType<typeof streams.DeleteReq>;
type DeleteResponse = InstanceType<typeof streams.DeleteResp>;
type TombstoneRequest = InstanceType<typeof streams.TombstoneReq>;
type TombstoneResponse = InstanceType<typeof streams.TombstoneResp>;

export function deleteStream(node: Node) {
  return (call: ServerUnaryCall<DeleteRequest, DeleteResponse>, respond: sendUnaryData<DeleteResponse>): void => {
    try {
      const position = remove(node, call, 'delete');
      const written = new streams.DeleteResp.Position().setCommitPosition(position).setPreparePosition(position);
      respond(null, new streams.DeleteResp().setPosition(written));
    } catch (error) {
      respond(error as ServiceError);
    }
  };
}

export function tombstoneStream(node: Node) {
  return (
    call: ServerUnaryCall<TombstoneRequest, TombstoneResponse>,
    respond: sendUnaryData<TombstoneResponse>,
  ): void => {
    try {
      const position = remove(node, call, 'tombstone');
      const written = new streams.TombstoneResp.Position().setCommitPosition(position).setPreparePosition(position);
      respond(null, new streams.TombstoneResp().setPosition(written));
    } catch (error) {
      respond(error as ServiceError);
    }
  };
}

/** Returns the position at which the deletion was written. */
function remove(
  node: Node,
  { metadata, request }: Pick<ServerUnaryCall<DeleteRequest | TombstoneRequest, unknown>, 'metadata' | 'request'>,
  how: 'delete' | 'tombstone',
): string {
  const refusal = node.access.refusal(metadata);
  if (refusal !== undefined) throw refusal;
  const requiresLeader = metadata.get('requires-leader')[0]?.toString() === 'true';
  if (node.role === 'follower' && (requiresLeader || node.leader === undefined)) throw notLeader(node.leader);
  const options = request.getOptions();
  if (options === undefined) throw invalidArgument('There are no options');
  const stream = streamNameOf(options.getStreamIdentifier());
  const expected = parseExpected(options, options.hasRevision() ? options.getRevision() : undefined);
  const removed = node.store[how](stream, expected);
  if (removed.kind === 'wrongExpectedVersion') {
    throw wrongExpectedVersion('Delete', stream, toVersion(expected), removed.current);
  }
  const failure = failureOf(removed, stream);
  if (failure !== undefined) throw failure;
  if (removed.kind !== 'success') throw new Error(`${removed.kind} is no success`);
  return removed.position.toString();
}
