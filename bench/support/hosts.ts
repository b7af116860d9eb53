import { spawn, type ChildProcess } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { MerkleFrontier } from '../../src/domain/merkle.js';
import { systemClock } from '../../src/infra/platform/clock.js';
import type { RootKey } from '../../src/infra/crypto/root-key.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import { encodeBatch, MAX_BATCH_BYTES, MAX_BATCH_EVENTS } from '../../src/infra/offgrid/protocol/batch.js';
import { signClaim } from '../../src/infra/offgrid/protocol/claim.js';
import { encodeEntry } from '../../src/infra/offgrid/protocol/entry.js';
import type { AddressedEvent } from '../../src/infra/offgrid/protocol/event.js';
import type { HostClient } from '../../src/infra/offgrid/protocol/host-client.js';
import { HostClients } from '../../src/infra/offgrid/protocol/host-clients.js';
import { signTree } from '../../src/infra/offgrid/protocol/tree.js';
import { verifyKeyOf } from '../../src/infra/offgrid/protocol/verify-key.js';

export const ORIGIN = 'core-v2';
export const AUTH_KEY = 'bench';
const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));

const WRITER = 'abcdef:bench-bench';

/** One for all measurements: a host refuses more than a few connections from one address. */
const clients = new HostClients(AUTH_KEY, systemClock);

/** Claims a host that has nothing. */
export async function claim(client: HostClient, root: RootKey): Promise<void> {
  const { host } = await client.keys();
  const signed = signClaim({ host, epoch: 1, origin: ORIGIN, writer: WRITER }, root.signingKey);
  await client.claim(ORIGIN, { key: verifyKeyOf(root.verifyKey), claim: signed });
}

/** Makes batches that fit any claimed host that has nothing. */
export function prepareBatches(root: RootKey, events: readonly AddressedEvent[]): Uint8Array[] {
  const tree = new MerkleFrontier(sha256);
  const nothing = tree.root();
  return batchesOf(events).map((batch) => {
    const from = tree.size + 1;
    for (const event of batch) tree.append(encodeEntry(event));
    const of = { line: 1, epoch: 1, origin: ORIGIN, writer: WRITER, sequence: tree.size, root: tree.root() };
    const known = { ts: Date.now(), base: 0, begun: nothing, quorum: 0, quorumRoot: nothing };
    return encodeBatch({ from, tree: signTree({ ...of, ...known }, root.signingKey), events: batch });
  });
}

export function clientOf(url: string, host?: string): HostClient {
  return clients.of(url, host);
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
