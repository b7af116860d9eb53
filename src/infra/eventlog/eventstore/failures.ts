import {
  AccessDeniedError,
  MaxAppendSizeExceededError,
  NotLeaderError,
  StreamDeletedError,
  WrongExpectedVersionError,
} from '@eventstore/db-client';
import { reasonOf } from '../../platform/reason.js';
import { LogError } from '../errors.js';
import type { ServerAddress } from './address.js';

/** gRPC's status codes for errors of the caller. */
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;
const INVALID_ARGUMENT = 3;
/** gRPC's status code for errors that the server does not explain. */
const UNKNOWN = 2;
/** Matches what servers say of a position where no record begins; 23.10 says nothing but that it has failed. */
const INVALID_POSITION = /invalid ?position|exception was thrown by handler/i;

/** Matches the messages of failed TLS connections. Trying again does not help. */
const TLS = /certificate|self[- ]signed|altnames|wrong version number|EPROTO|ERR_SSL|ERR_TLS|CERT_|unable to verify/i;

/** The server did not answer in time. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';

  constructor(ms: number) {
    super(`no answer within ${ms / 1_000} s`);
  }
}

/** A subscription or a read ended before it was complete. */
export class Ended extends Error {
  override readonly name = 'Ended';

  constructor() {
    super('it ended before it was complete');
  }
}

/** The reaction to a failed call. */
export type Remedy =
  /** Trying again does not help: `toLogError` gives the reason. */
  | 'none'
  /** Repeat the call on the same connection. */
  | 'ask-again'
  /** Repeat the call: the client connects to the leader automatically. */
  | 'follow'
  /** Open a new connection and repeat the call. */
  | 'reconnect';

/**
 * The reaction to an error. Errors are of the client's classes or, after an outage, of gRPC's, which have a code and no
 * class; some have only a message. An error that is not known to be final is retried, for a limited time.
 */
export function remedyFor(error: unknown): Remedy {
  if (isFinal(error)) return 'none';
  if (error instanceof LogError || error instanceof Ended || error instanceof WrongExpectedVersionError)
    return 'ask-again';
  return error instanceof NotLeaderError ? 'follow' : 'reconnect';
}

function isFinal(error: unknown): boolean {
  if (error instanceof LogError) return error.code !== 'LOG_UNAVAILABLE';
  // A wrong revision is an answer too, but the caller decides what it means.
  return isTlsFailure(error) || (isAnswer(error) && !(error instanceof WrongExpectedVersionError));
}

/** Whether an error is an answer of the server, and not the lack of one. */
export function isAnswer(error: unknown): boolean {
  if (error instanceof WrongExpectedVersionError || error instanceof StreamDeletedError) return true;
  return error instanceof MaxAppendSizeExceededError || isDenied(error) || codeOf(error) === INVALID_ARGUMENT;
}

/** Whether the server refused to read from a position because no record begins there. */
export function isInvalidPosition(error: unknown): boolean {
  const code = codeOf(error);
  return (
    (code === INVALID_ARGUMENT || code === UNKNOWN) && error instanceof Error && INVALID_POSITION.test(error.message)
  );
}

/** Converts the error of a failed call into a LogError. */
export function toLogError(error: unknown, { shown, hasUserCertificate, login }: ServerAddress): LogError {
  if (error instanceof LogError) return error;
  const because = `(${reasonOf(error)})`;
  if (isDenied(error)) {
    const isByCertificate = hasUserCertificate && login === undefined;
    const advice = isByCertificate
      ? "it does not accept the user's certificate, which takes a server with a license and with user certificates enabled; or give SHERATAN_EVENTSTORE_URL a user and password"
      : "give SHERATAN_EVENTSTORE_URL a user and password that may read $all and read and write Sheratan's streams";
    return new LogError('LOG_DENIED', `${shown} refuses access: ${advice} ${because}.`, error);
  }
  if (isTlsFailure(error)) {
    return new LogError(
      'LOG_DENIED',
      `No secure connection to ${shown}: give the certificate of the server's authority with tlsCAFile= in SHERATAN_EVENTSTORE_URL, or use tls=false if the server has no certificate ${because}.`,
      error,
    );
  }
  if (error instanceof MaxAppendSizeExceededError) {
    return new LogError(
      'LOG_TOO_LARGE',
      `${shown} accepts at most ${error.maxAppendSize} bytes at a time; raise its MaxAppendSize, or record less at a time.`,
      error,
    );
  }
  if (codeOf(error) === INVALID_ARGUMENT) {
    return new LogError('EVENT_INVALID', `${shown} refuses the request as invalid ${because}.`, error);
  }
  const advice = hangsUp(error) ? ' It closes the connection immediately: if it uses TLS, remove tls=false.' : '';
  return new LogError('LOG_UNAVAILABLE', `${shown} cannot be reached at present ${because}.${advice}`, error);
}

/** Whether the server refused the login, or an operation of it. */
export function isDenied(error: unknown): boolean {
  const code = codeOf(error);
  return error instanceof AccessDeniedError || code === PERMISSION_DENIED || code === UNAUTHENTICATED;
}

/** Whether the server accepted a connection and closed it before sending anything. */
function hangsUp(error: unknown): boolean {
  return error instanceof Error && error.message.includes('Last error: Failed to connect');
}

function isTlsFailure(error: unknown): boolean {
  return error instanceof Error && TLS.test(error.message);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
