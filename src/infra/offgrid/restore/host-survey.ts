import type { RootKey } from '../../crypto/root-key.js';
import type { Time } from '../../platform/clock.js';
import { HostFailure, type HostClient } from '../protocol/host-client.js';
import type { HostAddress } from '../protocol/settings.js';
import type { Tree } from '../protocol/tree.js';
import { DishonestHostError, verifyHead, type Expected, type GoodHead } from '../protocol/verify-head.js';
import { verifyKeyOf } from '../protocol/verify-key.js';

/** How long to wait for hosts that do not answer when the others may be enough, in milliseconds. */
const SOON_MS = 10_000;

/** A host that was heard: it has answered with a valid head. */
export interface HeardHost {
  readonly url: string;
  readonly host: string;
  /** Whether its key is one that was named, and not just the one it answered with. */
  readonly isPinned: boolean;
  readonly head: GoodHead;
  readonly client: HostClient;
}

/** Every tree that hosts show, in a head or as staged. */
export function shownTrees(heard: readonly Pick<HeardHost, 'head'>[]): Tree[] {
  return heard.flatMap(({ head }) => [head.tree, head.staged]).flatMap((opened) => (opened ? [opened.value] : []));
}

/** A host that was not heard. */
export interface UnheardHost {
  readonly url: string;
  /** A sentence that names the host. */
  readonly why: string;
}

/** The hosts that answered, and those that did not. */
export interface HostSurvey {
  readonly heard: readonly HeardHost[];
  readonly unheard: readonly UnheardHost[];
}

/** The hosts to ask, and what they are asked with. */
export interface SurveyRequest {
  readonly origin: string;
  readonly root: RootKey;
  readonly hosts: readonly HostAddress[];
  readonly clientOf: (url: string, host?: string) => HostClient;
}

/** A survey that was not waited for to the end. */
export interface EarlySurvey extends HostSurvey {
  /** The survey of all hosts; undefined when this is it. */
  readonly all: Promise<HostSurvey> | undefined;
}

/** Asks hosts for their heads over fresh challenges. One host under two URLs counts once. */
export async function surveyHosts({ hosts, ...request }: SurveyRequest): Promise<HostSurvey> {
  return surveyOf(await Promise.all(hosts.map((address) => ask(address, request))));
}

/** Like `surveyHosts`, but waits at most SOON_MS for hosts that do not answer. */
export async function surveyHostsSoon(
  { hosts, ...request }: SurveyRequest,
  time: Pick<Time, 'sleep'>,
): Promise<EarlySurvey> {
  const late = new Map<string, HeardHost | UnheardHost>(
    hosts.map(({ url }) => [url, { url, why: `${url} has not answered within ${SOON_MS / 1_000} s.` }]),
  );
  const answers = hosts.map(async (address) => {
    const answer = await ask(address, request);
    late.set(address.url, answer);
    return answer;
  });
  const all = Promise.all(answers).then(surveyOf);
  // A caller that does not wait for it ignores its failure.
  all.catch(() => undefined);
  const waiting = new AbortController();
  const whole = await Promise.race([all, time.sleep(SOON_MS, waiting.signal)]);
  waiting.abort();
  return whole === undefined ? { ...surveyOf([...late.values()]), all } : { ...whole, all: undefined };
}

function surveyOf(answers: readonly (HeardHost | UnheardHost)[]): HostSurvey {
  const heard = answers.filter((answer) => 'head' in answer);
  // Of two addresses of one host, the pinned one is used.
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
