import { join } from 'node:path';
import { MerkleFrontier } from '../../../src/domain/merkle.js';
import { toHex } from '../../../src/infra/crypto/bytes.js';
import { sha256 } from '../../../src/infra/crypto/sha256.js';
import type { RunningHost } from '../../../src/infra/offgrid/host/server.js';
import type { ReturnedEvent } from '../../../src/infra/offgrid/replicator/host-port.js';
import { authHeaders } from '../../../src/infra/offgrid/wire/auth.js';
import type { AddressedEvent } from '../../../src/infra/offgrid/wire/batch.js';
import { Connection } from '../../../src/infra/sqlite/connection.js';
import type { Untyped } from '../node.js';
import { AUTH_KEY } from './host.js';

/** A request by one who knows the key, and what it lies about. */
export interface RawRequest {
  readonly method?: 'GET' | 'POST';
  readonly body?: Uint8Array | string;
  /** What is signed, where that is not what is sent. */
  readonly signed?: Partial<{ host: string; method: string; path: string; body: Uint8Array }>;
  readonly authKey?: string;
  readonly nowMs?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The headers that a request of a test is authenticated with. */
export function headersFor(host: RunningHost, path: string, request: RawRequest = {}): Record<string, string> {
  const { method = 'GET', body = '', signed = {}, authKey = AUTH_KEY, nowMs = Date.now() } = request;
  const whole = { host: host.identity.id, method, path, body: Buffer.from(body), ...signed };
  return { ...authHeaders(authKey, whole, nowMs) };
}

/** Sends a request without a client's help. */
export async function send(host: RunningHost, path: string, request: RawRequest = {}) {
  const { method = 'GET', body, headers = {} } = request;
  const answer = await fetch(`${host.url}${path}`, {
    method,
    headers: { ...headersFor(host, path, request), ...headers },
    ...(body === undefined ? {} : { body: Buffer.from(body) }),
  });
  return outcomeOf(answer);
}

/** What an answer says. */
export async function outcomeOf(answer: Response) {
  const text = await answer.text();
  const json: Untyped = answer.headers.get('content-type')?.includes('json') ? JSON.parse(text) : undefined;
  return { status: answer.status, headers: answer.headers, text, json };
}

/** The Merkle root over events. */
export function rootOf(events: readonly AddressedEvent[]): string {
  const tree = new MerkleFrontier(sha256);
  for (const { eid } of events) tree.append(eid);
  return toHex(tree.root());
}

/** Events with the digests of their contents, in which any difference shows, and soon. */
export function digests(events: readonly ReturnedEvent[]) {
  return events.map(({ sequence, etype, ts, sealed }) => ({ sequence, etype, ts, sealed: toHex(sha256(sealed)) }));
}

/** Looks into the file of a host. */
export async function inHostFile<R>(folder: string, sql: string, mode: 'read' | 'write' = 'read'): Promise<R[]> {
  const connection = await Connection.open(join(folder, 'host.db'), mode);
  try {
    return await connection.all<R>(sql);
  } finally {
    await connection.close();
  }
}

/** What was set aside, or refused as a fork. */
export function evidenceOf(folder: string): Promise<{ kind: string; sequence: number; epoch: number }[]> {
  return inHostFile(folder, 'SELECT kind, sequence, epoch FROM evidence ORDER BY sequence, epoch');
}
