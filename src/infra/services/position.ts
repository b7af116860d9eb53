import { RequestError } from '../readmodels/request-error.js';

const TOKEN = /^([0-9a-z]{6}):(0|[1-9][0-9]{0,18})$/;

/** The token by which clients see a position: `<log id>:<position>`. */
export function positionToken(logId: string, position: bigint): string {
  return `${logId}:${position}`;
}

/** Reads a position token. @throws RequestError POSITION_UNKNOWN when it is malformed, of another log, or beyond the end */
export async function readPosition(token: string, logId: string, head: () => Promise<bigint>): Promise<bigint> {
  const match = TOKEN.exec(token);
  if (match === null) {
    throw new RequestError(
      'POSITION_UNKNOWN',
      `'${token.slice(0, 40)}' is not a position. Use one that a mutation, query or subscription returned.`,
    );
  }
  const position = BigInt(match[2] ?? '');
  if (match[1] !== logId) {
    throw new RequestError(
      'POSITION_UNKNOWN',
      `Position '${token}' belongs to another log; this log is ${logId}. The log may have been restored or copied. Discard cached data and read again without a position.`,
    );
  }
  if (position > (await head())) {
    throw new RequestError(
      'POSITION_UNKNOWN',
      `Position '${token}' is beyond the end of this log. Discard it and read again without a position.`,
    );
  }
  return position;
}
