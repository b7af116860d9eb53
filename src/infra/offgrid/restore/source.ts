import { randomBytes, type KeyObject } from 'node:crypto';
import { publicKeyOf } from '../../crypto/signing.js';
import type { RootKey } from '../../crypto/root-key.js';
import { HostError, type HostPort } from '../replicator/host-port.js';
import { assertTrue, Lie } from '../replicator/lie.js';
import type { HostAddress } from '../settings.js';
import { isClaimSigned, signClaim, type Grant } from '../wire/claim.js';
import type { SignedHead } from '../wire/head.js';

const CHALLENGE_BYTES = 16;

/** A host that answered, and what it says it has. */
export interface Source {
  readonly url: string;
  readonly host: string;
  /** Whether its key is one that was named, and not just the one it answered with. */
  readonly isPinned: boolean;
  readonly head: SignedHead;
  readonly port: HostPort;
  readonly key: KeyObject;
}

/** A host that is of no use. */
export interface Absent {
  readonly url: string;
  /** A sentence that names the host. */
  readonly why: string;
}

/** Asks hosts for their heads over fresh challenges. */
export async function survey(
  addresses: readonly HostAddress[],
  origin: string,
  portOf: (url: string, host?: string) => HostPort,
): Promise<{ readonly sources: readonly Source[]; readonly absent: readonly Absent[] }> {
  const answers = await Promise.all(addresses.map((address) => ask(address, origin, portOf)));
  const sources = answers.filter((answer) => 'head' in answer);
  // One host under two URLs is one.
  const once = sources.filter(({ host }, i) => sources.findIndex((other) => other.host === host) === i);
  return { sources: once, absent: answers.filter((answer) => 'why' in answer) };
}

async function ask(
  { url, fingerprint }: HostAddress,
  origin: string,
  portOf: (url: string, host?: string) => HostPort,
): Promise<Source | Absent> {
  try {
    const { host, verifyKey } = await portOf(url).key();
    if (fingerprint !== undefined && host !== fingerprint)
      return { url, why: `${url} answers with the key ${host}, not ${fingerprint}.` };
    const key = publicKeyOf(verifyKey);
    if (key === undefined) return { url, why: `${url} shows a verify key that is none.` };
    const port = portOf(url, host);
    const head = await headOf({ port, host, key }, origin);
    return { url, host, isPinned: fingerprint !== undefined, head, port, key };
  } catch (error) {
    // What comes from a port names the host by itself.
    if (error instanceof HostError) return { url, why: error.message };
    return { url, why: `${url}: ${error instanceof Error ? error.message : String(error)}.` };
  }
}

/** What a host has of an origin; a head of nothing when it does not know it. @throws Lie, HostError */
async function headOf({ port, host, key }: Pick<Source, 'port' | 'host' | 'key'>, origin: string): Promise<SignedHead> {
  const challenge = randomBytes(CHALLENGE_BYTES).toString('hex');
  try {
    const head = await port.head(origin, challenge);
    assertTrue(head, { host, key, origin, challenge });
    return head;
  } catch (error) {
    if (!(error instanceof HostError) || error.code !== 'NOT_FOUND') throw error;
    return { tag: 'head/v1', host, origin, epoch: 0, sequence: 0, root: '', ts: 0, challenge, signature: '' };
  }
}

/** The head that a quorum may have signed: of the highest epoch, then the longest. */
export function newestOf(sources: readonly Source[]): Source | undefined {
  return sources.reduce<Source | undefined>((best, source) => {
    if (best === undefined) return source;
    const [a, b] = [source.head, best.head];
    return a.epoch > b.epoch || (a.epoch === b.epoch && a.sequence > b.sequence) ? source : best;
  }, undefined);
}

/** How often a claim is made again under a higher epoch. */
const MAX_CLAIMS = 8;

/**
 * Claims the next writer epoch at every host: from then on nobody else ships. Returns the claim, and the hosts that
 * granted it with what they have since.
 */
export async function claimAll(
  sources: readonly Source[],
  origin: string,
  root: RootKey,
  writer: string,
  onTrouble: (source: Source, why: string) => void,
): Promise<{ readonly grant: Grant; readonly sources: readonly Source[] }> {
  let epoch = 1 + Math.max(0, ...sources.map(({ head }) => head.epoch));
  for (let tries = 0; tries < MAX_CLAIMS; tries += 1) {
    const grant = { epoch, writer };
    let fencedBy = 0;
    const granted: Source[] = [];
    for (const source of sources) {
      const challenge = randomBytes(CHALLENGE_BYTES).toString('hex');
      try {
        const head = await source.port.claim(
          origin,
          signClaim(root, { origin, host: source.host }, { ...grant, challenge }),
        );
        assertTrue(head, { host: source.host, key: source.key, origin, challenge });
        granted.push({ ...source, head });
      } catch (error) {
        const by = error instanceof HostError ? error.details.granted : undefined;
        // Whoever makes one up would have all epochs used up.
        if (by !== undefined && isClaimSigned(by, { origin, host: source.host }, root.verifyKey))
          fencedBy = Math.max(fencedBy, by.epoch);
        else if (error instanceof HostError || error instanceof Lie) onTrouble(source, error.message);
        else throw error;
      }
    }
    // Also by the same epoch, when another writer has that.
    if (fencedBy === 0) return { grant, sources: granted };
    epoch = fencedBy + 1;
  }
  throw new Error('Another writer claims the hosts over and over. Stop the other core, and try again.');
}
