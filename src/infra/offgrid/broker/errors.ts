import { HttpError, isFastifyError, type ErrorAnswer, type ErrorFormat } from '../../http-kit/error-answer.js';
import { SqliteError } from '../../sqlite/connection.js';
import { MAX_BODY_BYTES } from './bodies.js';
import type { SignatureProblem, SignedTime } from './signature.js';

/** A body is refused because of its signature, timestamp or nonce. */
export class SignatureRefusal extends HttpError {
  readonly clock: SignedTime | undefined;

  constructor({ status, code, message, clock }: SignatureProblem) {
    super(status, code, message);
    this.clock = clock;
  }
}

/** The error when too many changes are waiting. */
export function busy(): HttpError {
  return new HttpError(503, 'BUSY', 'Too many changes are waiting already. Try again.');
}

const TOO_LARGE = `The body is larger than ${MAX_BODY_BYTES} bytes. Send a smaller one.`;
const DISK_FULL: ErrorAnswer = {
  status: 507,
  code: 'DISK_FULL',
  message: 'The disk of this broker is full; nothing was written. Free space and try again.',
};

/** What a client sees of an error; undefined for a failure of the broker itself. */
function answerTo(error: unknown): ErrorAnswer | undefined {
  if (error instanceof HttpError) return error;
  if (error instanceof SqliteError) return error.code === 'SQLITE_FULL' ? DISK_FULL : undefined;
  if (!isFastifyError(error) || (error.statusCode ?? 500) >= 500) return undefined;
  const { statusCode: status = 500, message } = error;
  return status === 413 ? { status, code: 'TOO_LARGE', message: TOO_LARGE } : { status, code: 'BAD_REQUEST', message };
}

/** How a broker answers errors: `{ error: { code, message } }`; a refused clock also contains the broker's time. */
export const BROKER_ERRORS: ErrorFormat = {
  answerTo,
  body: ({ code, message }, error) => ({
    error: { code, message },
    ...(error instanceof SignatureRefusal ? error.clock : undefined),
  }),
  internalCode: 'INTERNAL',
};
