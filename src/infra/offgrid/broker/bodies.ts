import { z } from 'zod';
import { isJsonObject } from '../../../domain/json.js';
import { HttpError } from '../../http-kit/error-answer.js';
import {
  parsePythonJson,
  pythonJson,
  PythonJsonError,
  rawText,
  type RawJson,
  type ReceivedJson,
  type ReceivedObject,
} from './python-json.js';

/** The maximum size of a body, in bytes. */
export const MAX_BODY_BYTES = 256 * 1024;
/** The maximum size of a record's meta, in bytes of JSON in Python's format. */
export const MAX_META_BYTES = 16 * 1024;
/** The maximum size of a host's prices, in bytes of JSON in Python's format. */
export const MAX_PRICES_BYTES = 4 * 1024;
/** The maximum length of a record's id, which names an origin and a range, in characters. The id of a node may be its URL. */
export const MAX_ID_LENGTH = 512;
const MAX_KIND_LENGTH = 64;
const MAX_NODE_LENGTH = 512;
const MAX_URL_LENGTH = 512;
/** The maximum of `required`, which is a sum of weights. */
const MAX_REQUIRED = 1_000_000_000;

/** Text that can be stored, and shown in one line without ambiguity. */
function name(maxLength: number): z.ZodString {
  return z
    .string('must be text')
    .min(1, 'must not be empty')
    .max(maxLength, `must have at most ${maxLength} characters`)
    .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'must not contain control characters or half surrogate pairs');
}

const number = z
  .custom<RawJson>((value) => rawText(value) !== undefined, 'must be a number')
  .transform((value) => Number(rawText(value)));
const REQUIRED = `must be above 0, at most ${MAX_REQUIRED}`;
const FREE_BYTES = 'must be a whole number, 0 or above';

/** The body of `/quorum/create`. The defaults are those of old clients: one ack is enough, and there is no meta. */
export const newQuorum = z.object({
  id: name(MAX_ID_LENGTH),
  kind: name(MAX_KIND_LENGTH),
  required: number.refine((required) => required > 0 && required <= MAX_REQUIRED, REQUIRED).default(1),
  meta: z.custom<ReceivedJson>().default(null),
});

/** The body of `/quorum/ack`. */
export const newAck = z.object({
  id: name(MAX_ID_LENGTH),
  kind: name(MAX_KIND_LENGTH),
  node_id: name(MAX_NODE_LENGTH),
});

/** The body of `/announce`. */
export const announcement = z.object({
  node_id: name(MAX_NODE_LENGTH),
  url: name(MAX_URL_LENGTH).regex(/^https?:\/\/[^\s/]+/, 'must be an http or https URL'),
  prices: z.custom<ReceivedObject>(isObject, 'must be an object').default({}),
  free_bytes: number.refine((bytes) => Number.isSafeInteger(bytes) && bytes >= 0, FREE_BYTES),
});

/** Reads a body regardless of its content type, which old clients do not state. @throws HttpError 400 */
export function readBody(bytes: Buffer): ReceivedObject {
  let value: ReceivedJson;
  try {
    value = parsePythonJson(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    const why = error instanceof PythonJsonError ? error.message : 'it is not UTF-8';
    throw new HttpError(400, 'BAD_JSON', `The body is not usable JSON: ${why}.`);
  }
  if (!isObject(value)) throw new HttpError(400, 'BAD_JSON', 'The body must be a JSON object.');
  return value;
}

/** Validates a body. @throws HttpError 400 that names each invalid field */
export function parseBody<V>(schema: z.ZodType<V>, body: ReceivedObject): V {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`);
  throw new HttpError(400, 'INVALID_INPUT', `The body is invalid: ${problems.join('; ')}.`);
}

/** The stored form of a part of a body: JSON in Python's format. @throws HttpError 413 above `maxBytes` */
export function kept(field: string, value: ReceivedJson, maxBytes: number): string {
  const text = pythonJson(value);
  if (text.length <= maxBytes) return text;
  throw new HttpError(413, 'TOO_LARGE', `${field} has ${text.length} bytes; at most ${maxBytes} are allowed.`);
}

function isObject(value: unknown): value is ReceivedObject {
  return isJsonObject(value) && rawText(value) === undefined;
}
