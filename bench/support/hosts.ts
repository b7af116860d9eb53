import { spawn, type ChildProcess } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/infra/clock.js';
import type { RootKey } from '../../src/infra/crypto/root-key.js';
import { HttpHost } from '../../src/infra/offgrid/replicator/http-host.js';
import {
  encodeBatch,
  MAX_BATCH_BYTES,
  MAX_BATCH_EVENTS,
  type AddressedEvent,
} from '../../src/infra/offgrid/wire/batch.js';
import { signClaim } from '../../src/infra/offgrid/wire/claim.js';

export const ORIGIN = 'core-v2';
export const AUTH_KEY = 'bench';
const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));

/** Claims a host that has nothing, and makes the batches that it is to be sent. */
export async function prepareBatches(client: HttpHost, root: RootKey, events: readonly AddressedEvent[]) {
  const destination = { origin: ORIGIN, host: (await client.key()).host };
  const claim = { epoch: 1, writer: 'abcdef:bench-bench', challenge: 'challenge-challenge' };
  await client.claim(ORIGIN, signClaim(root, destination, claim));
  return batchesOf(events).map((batch) => encodeBatch(root.signingKey, destination, 1, batch));
}

export function clientOf(url: string): HttpHost {
  return new HttpHost(url, AUTH_KEY, systemClock);
}

function batchesOf(events: readonly AddressedEvent[]): (readonly AddressedEvent[])[] {
  const batches: AddressedEvent[][] = [[]];
  let bytes = 0;
  for (const event of events) {
    const last = batches.at(-1)!;
    bytes += event.sealed.byteLength;
    if (last.length < MAX_BATCH_EVENTS && bytes <= MAX_BATCH_BYTES) last.push(event);
    else {
      batches.push([event]);
      bytes = event.sealed.byteLength;
    }
  }
  return batches;
}

/** Runs `work` with hosts that have nothing, each in a process of its own. */
export async function withHosts<R>(
  count: number,
  folder: string,
  work: (urls: readonly string[]) => Promise<R>,
): Promise<R> {
  const dataDir = `${folder}-hosts`;
  const env = { SHERATAN_DATA_DIR: dataDir, OFFGRID_AUTH_KEY: AUTH_KEY, SHERATAN_LOG_LEVEL: 'error' };
  const hosts = await Promise.all(Array.from({ length: count }, (_, i) => startHost(`host-${i}`, env)));
  try {
    return await work(hosts.map(({ url }) => url));
  } finally {
    for (const { child } of hosts) child.kill('SIGKILL');
    await rm(dataDir, { recursive: true, force: true });
  }
}

function startHost(name: string, env: Readonly<Record<string, string>>): Promise<{ child: ChildProcess; url: string }> {
  let child: ChildProcess | undefined;
  return firstLine(MAIN, ['host', '--name', name, '--port', '0'], env, (started) => {
    child = started;
    return Promise.resolve();
  }).then(([line]) => ({ child: child!, url: /at (\S+)/.exec(line)![1]! }));
}

/** The first line that a program prints. */
export function firstLine(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  onStart: (child: ChildProcess) => Promise<void>,
): Promise<[string]> {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  void onStart(child);
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', (line) => resolve([line]));
    child.once('close', () => reject(new Error(`${program} ended`)));
  });
}
