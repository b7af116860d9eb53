import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import type { Endpoint } from './faults.js';

/** How the server fails a call: the codes, texts and metadata of its `RpcExceptions`. */
function failure(code: status, details: string, metadata: Record<string, string> = {}): ServiceError {
  const trailers = new Metadata();
  for (const [key, value] of Object.entries(metadata)) trailers.set(key, value);
  return Object.assign(new Error(details), { code, details, metadata: trailers });
}

export const unavailable = () => failure(status.UNAVAILABLE, 'Server Is Not Ready');

export const broken = () => failure(status.UNAVAILABLE, 'The stream was broken');

export const timedOut = () => failure(status.ABORTED, 'Operation timed out: Commit timeout');

export const accessDenied = () => failure(status.PERMISSION_DENIED, 'Access Denied', { exception: 'access-denied' });

export const unauthenticated = () => failure(status.UNAUTHENTICATED, 'Unauthenticated');

export const invalidArgument = (details: string) => failure(status.INVALID_ARGUMENT, details);

/** The error of a subscription that should begin at a position without a record. */
export const invalidPosition = () => invalidArgument('Trying to read from an invalid position.');

/** The error of a read of `$all` in the same case. */
export const unexpectedPosition = () => failure(status.UNKNOWN, 'Unexpected ReadAllResult: InvalidPosition');

/** The error of a handler that has failed in an unforeseen way, such as by an invalid position in older versions. */
export const handlerFailed = () => failure(status.UNKNOWN, 'Exception was thrown by handler.');

/** Without a known leader the error names none. */
export const notLeader = (leader: Endpoint | undefined) =>
  leader === undefined
    ? failure(status.UNKNOWN, 'No leader info available in response')
    : failure(status.NOT_FOUND, 'Leader info available', {
        exception: 'not-leader',
        'leader-endpoint-host': leader.host,
        'leader-endpoint-port': String(leader.port),
      });

export const streamDeleted = (stream: string) =>
  failure(status.FAILED_PRECONDITION, `Event stream '${stream}' is deleted.`, {
    exception: 'stream-deleted',
    'stream-name': stream,
  });

/** `expected` and `actual` as the server's numbers: -1 is no stream. */
export const wrongExpectedVersion = (operation: string, stream: string, expected: bigint, actual: bigint) =>
  failure(
    status.FAILED_PRECONDITION,
    `${operation} failed due to WrongExpectedVersion. Stream: ${stream}, ` +
      `Expected version: ${expected.toString()}, Actual version: ${actual.toString()}`,
    {
      exception: 'wrong-expected-version',
      'stream-name': stream,
      'expected-version': expected.toString(),
      'actual-version': actual.toString(),
    },
  );

export const appendTooLarge = (limitBytes: number) =>
  failure(status.INVALID_ARGUMENT, `Maximum Append Size of ${limitBytes} Exceeded.`, {
    exception: 'maximum-append-size-exceeded',
    'maximum-append-size': String(limitBytes),
  });

export const missingMetadata = (property: string) =>
  failure(status.INVALID_ARGUMENT, `Required Metadata Property '${property}' is missing`, {
    exception: 'missing-required-metadata-property',
    'required-metadata-properties': 'type,content-type',
  });
