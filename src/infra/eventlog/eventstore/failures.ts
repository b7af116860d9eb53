import {
  AccessDeniedError,
  MaxAppendSizeExceededError,
  NotLeaderError,
  StreamDeletedError,
  WrongExpectedVersionError,
} from '@eventstore/db-client';
import { LogError } from '../errors.js';

/** gRPC's numbers for what a server says of a caller. */
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;
const INVALID_ARGUMENT = 3;

/** What is said in words when a secure connection cannot be made. It is not mended by trying again. */
const TLS = /certificate|self[- ]signed|altnames|wrong version number|EPROTO|ERR_SSL|ERR_TLS|CERT_|unable to verify/i;

/** The server did not answer in time. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';

  constructor(ms: number) {
    super(`no answer within ${ms / 1_000} s`);
  }
}

/** A subscription or a read has ended although there was more to come. */
export class Ended extends Error {
  override readonly name = 'Ended';

  constructor() {
    super('it was ended before it was done');
  }
}

/** What a failed call calls for. */
export type Remedy =
  /** Nothing will help: `toLogError` says why. */
  | 'none'
  /** Ask again, on the same connection. */
  | 'ask-again'
  /** Ask again: the client goes to the leader by itself. */
  | 'follow'
  /** Connect anew and ask again. */
  | 'reconnect';

/**
 * Errors come as the client's own kinds, and after an outage as gRPC's, which have a number and no kind; some are only
 * words. What is not known to be final is tried again, for a bounded time.
 */
export function remedyFor(error: unknown): Remedy {
  if (isFinal(error)) return 'none';
  if (error instanceof LogError || error instanceof Ended || error instanceof WrongExpectedVersionError)
    return 'ask-again';
  return error instanceof NotLeaderError ? 'follow' : 'reconnect';
}

function isFinal(error: unknown): boolean {
  if (error instanceof LogError) return error.code !== 'LOG_UNAVAILABLE';
  if (error instanceof StreamDeletedError) return true;
  if (error instanceof MaxAppendSizeExceededError || isDenied(error) || isTlsFailure(error)) return true;
  return codeOf(error) === INVALID_ARGUMENT;
}

/** The server reads on only from where a record is, and none is there. */
export function isInvalidPosition(error: unknown): boolean {
  return codeOf(error) === INVALID_ARGUMENT && error instanceof Error && /invalid position/i.test(error.message);
}

/** Says in the log's terms why the server cannot be asked. @param shown the server's address, for people */
export function toLogError(error: unknown, shown: string): LogError {
  if (error instanceof LogError) return error;
  const because = `(${reasonOf(error)})`;
  if (isDenied(error)) {
    return new LogError(
      'LOG_DENIED',
      `${shown} refuses us: give EVENTSTORE_URL a user and password that may read $all and read and write our streams ${because}.`,
      error,
    );
  }
  if (isTlsFailure(error)) {
    return new LogError(
      'LOG_DENIED',
      `No secure connection to ${shown}: name the authority that signed its certificate with tlsCAFile= in EVENTSTORE_URL, or use tls=false if it has none ${because}.`,
      error,
    );
  }
  if (error instanceof MaxAppendSizeExceededError) {
    return new LogError(
      'LOG_TOO_LARGE',
      `${shown} takes at most ${error.maxAppendSize} bytes at a time; raise its MaxAppendSize, or record less at a time.`,
      error,
    );
  }
  if (codeOf(error) === INVALID_ARGUMENT) {
    return new LogError('EVENT_INVALID', `${shown} does not take this ${because}.`, error);
  }
  const advice = hangsUp(error) ? ' It hangs up at once: if it has TLS, leave out tls=false.' : '';
  return new LogError(
    'LOG_UNAVAILABLE',
    `${shown} cannot be reached now; it is tried again ${because}.${advice}`,
    error,
  );
}

/** What happened, on one line. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\s+/g, ' ').slice(0, 300);
}

function isDenied(error: unknown): boolean {
  const code = codeOf(error);
  return error instanceof AccessDeniedError || code === PERMISSION_DENIED || code === UNAUTHENTICATED;
}

/** The server takes a connection, and ends it before anything is said. */
function hangsUp(error: unknown): boolean {
  return error instanceof Error && error.message.includes('Last error: Failed to connect');
}

function isTlsFailure(error: unknown): boolean {
  return error instanceof Error && TLS.test(error.message);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
