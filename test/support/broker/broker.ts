import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Clock } from '../../../src/infra/platform/clock.js';
import type { PythonObject } from '../../../src/infra/offgrid/broker/python-json.js';
import type { QuorumPolicies } from '../../../src/infra/offgrid/broker/quorum.js';
import { startBroker, type Broker } from '../../../src/infra/offgrid/broker/server.js';
import { signBody } from '../../../src/infra/offgrid/broker/signature.js';
import { quiet } from '../quiet.js';

export const AUTH_KEY = 'a key that all share';

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  seconds: number;

  constructor(seconds = 1_800_000_000) {
    this.seconds = seconds;
  }

  readonly now = (): Date => new Date(this.seconds * 1_000);
}

/** A temporary folder, which is removed when the test ends. */
export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sheratan-broker-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A broker, which is stopped when the test ends. */
export async function newBroker(
  clock: Clock,
  { dataDir, policy }: { dataDir?: string; policy?: QuorumPolicies } = {},
): Promise<Broker> {
  const folder = dataDir ?? (await newFolder());
  const fixed = { name: 'broker', bind: '127.0.0.1', port: 0, authKey: AUTH_KEY, logger: quiet };
  const broker = await startBroker({ ...fixed, dataDir: folder, policy, clock });
  onTestFinished(() => broker.close());
  return broker;
}

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** Posts a body unchanged. */
export async function post(url: string, path: string, body: string | Uint8Array<ArrayBuffer>): Promise<Answer> {
  return answerOf(await fetch(`${url}${path}`, { method: 'POST', body }));
}

/** Posts a body, signed by a caller whose clock agrees with the broker's. */
export function postSigned(url: string, path: string, body: PythonObject, clock: Clock, key = AUTH_KEY) {
  return post(url, path, signBody(body, key, clock.now()));
}

export async function get(url: string, path: string): Promise<Answer> {
  return answerOf(await fetch(`${url}${path}`));
}

async function answerOf(response: Response): Promise<Answer> {
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}
