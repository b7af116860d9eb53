import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { RefusalError } from './refusal-error.js';

/** The body of a request as received. */
export function bodyOf(request: FastifyRequest): Uint8Array {
  return request.body instanceof Uint8Array ? request.body : new Uint8Array();
}

/** Validates a part of a request. @throws RefusalError BAD_REQUEST */
export function parse<V>(schema: z.ZodType<V>, value: unknown): V {
  const parsed = safely(() => schema.safeParse(value));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue === undefined || issue.path.length === 0 ? 'the request' : issue.path.join('.');
  throw new RefusalError({ code: 'BAD_REQUEST', message: `${where}: ${issue?.message ?? 'is invalid'}` });
}

/** The JSON of a body. @throws RefusalError BAD_REQUEST */
export function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString());
  } catch {
    throw new RefusalError({ code: 'BAD_REQUEST', message: 'The body is not JSON.' });
  }
}

/** Refuses values that are nested so deeply that validation exhausts the stack. */
function safely<R>(work: () => R): R {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError)
      throw new RefusalError({ code: 'BAD_REQUEST', message: 'The request is nested too deeply.' });
    throw error;
  }
}
