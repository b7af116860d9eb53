import type { RootKey } from '../../crypto/root-key.js';
import { HostFailure, type HostClient } from '../protocol/host-client.js';
import { DishonestHostError, verifyHead, type Expected, type GoodHead } from '../protocol/verify-head.js';
import { verifyKeyOf } from '../protocol/verify-key.js';
import type { Tree } from '../protocol/tree.js';
import type { HostAddress } from '../settings.js';

/** A host that was heard: it has answered with a good head. */
export interface HeardHost {
  readonly url: string;
  readonly host: string;
  /** Whether its key is one that was named, and not just the one it answered with. */
  readonly isPinned: boolean;
  readonly head: GoodHead;
  readonly client: HostClient;
}

/** Every tree that hosts show, as a head's or as staged. */
export function shownTrees(heard: readonly Pick<HeardHost, 'head'>[]): Tree[] {
  return heard.flatMap(({ head }) => [head.tree, head.staged]).flatMap((opened) => (opened ? [opened.value] : []));
}

/** A host that is heard by nobody. */
export interface UnheardHost {
  readonly url: string;
  /** A sentence that names the host. */
  readonly why: string;
}

/** Who answered, and who did not. */
export interface HostSurvey {
  readonly heard: readonly HeardHost[];
  readonly unheard: readonly UnheardHost[];
}

/** What hosts are asked with. */
export interface SurveyRequest {
  readonly origin: string;
  readonly root: RootKey;
  readonly hosts: readonly HostAddress[];
  readonly clientOf: (url: string, host?: string) => HostClient;
}

/** Asks hosts for their heads over fresh challenges. One host under two URLs is one. */
export async function surveyHosts({ hosts, ...request }: SurveyRequest): Promise<HostSurvey> {
  const answers = await Promise.all(hosts.map((address) => ask(address, request)));
  const heard = answers.filter((answer) => 'head' in answer);
  // Of two ways to one host, that by which it is pinned.
  const pinnedFirst = [...heard.filter(({ isPinned }) => isPinned), ...heard.filter(({ isPinned }) => !isPinned)];
  const once = pinnedFirst.filter(({ host }, i) => pinnedFirst.findIndex((other) => other.host === host) === i);
  return { heard: once, unheard: answers.filter((answer) => 'why' in answer) };
}

async function ask(
  { url, fingerprint }: HostAddress,
  { origin, root, clientOf }: Omit<SurveyRequest, 'hosts'>,
): Promise<HeardHost | UnheardHost> {
  try {
    const { host, verifyKey } = await clientOf(url).keys();
    if (fingerprint !== undefined && host !== fingerprint)
      return { url, why: `${url} answers with the key ${host}, not ${fingerprint}.` };
    const client = clientOf(url, host);
    const expected: Expected = { host, hostKey: verifyKey, origin, originKey: verifyKeyOf(root.verifyKey) };
    const head = verifyHead(await client.head(origin), expected);
    return { url, host, isPinned: fingerprint !== undefined, head, client };
  } catch (error) {
    if (error instanceof HostFailure) return { url, why: error.message };
    if (error instanceof DishonestHostError) return { url, why: `${url} is dishonest: ${error.message}.` };
    throw error;
  }
}
