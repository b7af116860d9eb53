import { MerkleFrontier } from '../../../domain/merkle.js';
import { isReplicationFact, totalWeight, weightOf, type Policy } from '../../../domain/replication.js';
import { toHex } from '../../crypto/bytes.js';
import type { RootKey } from '../../crypto/root-key.js';
import { sha256 } from '../../crypto/sha256.js';
import { LogError } from '../../eventlog/errors.js';
import type { EventLog } from '../../eventlog/eventlog.js';
import { appendHistory } from '../../transfer/copy-log.js';
import type { HostPort } from '../replicator/host-port.js';
import type { HostAddress } from '../settings.js';
import type { Grant } from '../wire/claim.js';
import { HistoryError, readHistory } from './history.js';
import { NotAnEvent, Opener, type OpenedEvent } from './opener.js';
import { claimAll, newestOf, survey, type Source } from './source.js';

/** It cannot be restored; the message says why, and what to do. */
export class RestoreError extends Error {
  override readonly name = 'RestoreError';
}

/** What is to be restored, and how sure it must be. */
export interface RestoreRequest {
  readonly origin: string;
  readonly root: RootKey;
  readonly hosts: readonly HostAddress[];
  /** Goes on though hosts that are missing may have signed for more. */
  readonly acceptLoss: boolean;
  /** The weight of hosts that may lie. */
  readonly liars: number;
  /** The claim's writer, for the log that is restored into; without one nothing is claimed: a drill. */
  readonly writerOf?: (log: EventLog) => string;
}

/** What a restore works with. */
export interface RestoreGround {
  readonly portOf: (url: string, host?: string) => HostPort;
  /** An empty log; what was in one made before is thrown away. */
  readonly newLog: () => Promise<EventLog>;
  readonly onProgress: (sequence: number, until: number) => void;
  /** What went wrong with whom, while it goes on. */
  readonly onTrouble: (message: string) => void;
}

/** What was restored. */
export interface Restored {
  readonly log: EventLog;
  /** The sequence of the last event. */
  readonly sequence: number;
  readonly newest: Source;
  readonly policy: Policy | undefined;
  readonly grant: Grant | undefined;
  /** What may be missing; undefined when nothing that a quorum signed can be. */
  readonly doubt: string | undefined;
}

/**
 * Gets back what the hosts have of an origin. Everything is verified, and judged, before anything is claimed: a restore
 * that is refused leaves a core that may still be alive alone.
 * @throws RestoreError
 */
export async function restore(request: RestoreRequest, ground: RestoreGround): Promise<Restored> {
  const { origin, hosts, acceptLoss } = request;
  const { sources, absent } = await survey(hosts, origin, ground.portOf);
  for (const { why } of absent) ground.onTrouble(`${why} It is left out.`);
  if (sources.length === 0) throw new RestoreError('No host answers. Start the hosts, or check --hosts.');
  if (!acceptLoss && !sources.some(({ isPinned }) => isPinned)) throw new RestoreError(unnamed(sources));
  const first = await readNewest(sources, request, ground);
  const doubt = doubtOf(first.policy(), sources, request);
  if (doubt !== undefined && !acceptLoss) {
    await first.log.close();
    throw new RestoreError(`${doubt} Bring more hosts into reach, or take what there is: --accept-loss.`);
  }
  const { writerOf } = request;
  if (writerOf === undefined) return { ...first, policy: first.policy(), grant: undefined, doubt };
  const onTrouble = (source: Source, why: string) => ground.onTrouble(`${source.url} (${source.host}): ${why}`);
  const claimed = await claimAll(sources, origin, request.root, writerOf(first.log), onTrouble);
  const last = await readRest(first, claimed.sources);
  const policy = last.policy();
  const doubtNow = doubtOf(policy, claimed.sources, request);
  if (doubtNow !== undefined && !acceptLoss) {
    await first.log.close();
    throw new RestoreError(`${doubtNow} Run it again when they answer, or take what there is: --accept-loss.`);
  }
  return { ...last, policy, grant: claimed.grant, doubt: doubtNow };
}

function unnamed(sources: readonly Source[]): string {
  const named = sources.map(({ url, host }) => `${url}#${host}`).join(',');
  return `Hosts count when their keys are named, and none is: nothing would show that these are the hosts that signed. They say that they are --hosts '${named}': compare that with what \`sheratan keys export\` printed, and name them; or take what there is: --accept-loss.`;
}

/** A history that is being read into a log. */
interface Reading {
  readonly log: EventLog;
  readonly sequence: number;
  readonly newest: Source;
  readonly policy: () => Policy | undefined;
  /** Reads on, up to the head of the first of these. */
  readonly goOn: (sources: readonly Source[]) => Promise<void>;
  readonly tree: MerkleFrontier;
}

/** Reads the newest history that is true: whoever signs for one that is not is left out. */
async function readNewest(
  sources: readonly Source[],
  request: RestoreRequest,
  ground: RestoreGround,
): Promise<Reading> {
  let candidates = sources;
  for (;;) {
    const newest = newestOf(candidates);
    if (newest === undefined || newest.head.sequence === 0)
      throw new RestoreError(
        `None of these hosts gives back anything of '${request.origin}': ${request.hosts.map(({ url }) => url).join(', ')}. Check --hosts and SHERATAN_ORIGIN.`,
      );
    const reading = begin(newest, await ground.newLog(), request, ground);
    try {
      await reading.goOn([newest, ...candidates.filter((other) => other !== newest)]);
      return { ...reading, sequence: reading.tree.size };
    } catch (error) {
      await reading.log.close();
      if (!(error instanceof HistoryError)) throw error;
      ground.onTrouble(`${newest.url} (${newest.host}) is left out: ${error.message}`);
      candidates = candidates.filter((other) => other !== newest);
    }
  }
}

function begin(newest: Source, log: EventLog, { origin, root }: RestoreRequest, ground: RestoreGround): Reading {
  const tree = new MerkleFrontier(sha256);
  const opener = new Opener(root, origin);
  let policy: Policy | undefined;
  const onTrouble = (source: Source, why: string) =>
    ground.onTrouble(`${source.url} (${source.host}) is not asked any further: ${why}`);
  const goOn = async (sources: readonly Source[]) => {
    const until = sources[0]?.head.sequence ?? 0;
    const history = readHistory(sources, { origin, opener, tree, onTrouble });
    try {
      for await (const page of appendHistory(history, log)) {
        for (const event of page) if (setsPolicy(event, origin, policy)) policy = event.data as unknown as Policy;
        ground.onProgress(page.at(-1)?.sequence ?? 0, until);
      }
    } catch (error) {
      throw unstorable(error) ?? error;
    }
  };
  return { log, newest, sequence: 0, policy: () => policy, goOn, tree };
}

/** What ends a restore where an event can never be stored; undefined for any other error. */
function unstorable(error: unknown): RestoreError | undefined {
  if (!(error instanceof NotAnEvent) && !(error instanceof LogError && error.code === 'EVENT_INVALID'))
    return undefined;
  return new RestoreError(
    `${error.message} No log can hold it, and what comes after it cannot be numbered without it: the restore stops here.`,
    { cause: error },
  );
}

/** Whether an event sets the origin's next policy, as the outbox judges it: of two of one version the first is the one. */
function setsPolicy({ type, data }: OpenedEvent, origin: string, current: Policy | undefined): boolean {
  if (type !== 'ReplicationPolicySet' || data['origin'] !== origin || !isReplicationFact({ type, data })) return false;
  return Number(data['version']) > (current?.version ?? 0);
}

/** What came to the hosts between the survey and the claim, after which nothing comes any more. */
async function readRest(reading: Reading, granted: readonly Source[]): Promise<Reading> {
  const newest = newestOf(granted);
  const { tree } = reading;
  if (newest === undefined) return reading;
  if (newest.head.sequence > tree.size) await reading.goOn([newest, ...granted.filter((other) => other !== newest)]);
  else if (newest.head.sequence === tree.size && newest.head.root !== toHex(tree.root()))
    throw new RestoreError('Another core wrote to the hosts meanwhile. Stop it, and run this again.');
  return { ...reading, newest, sequence: tree.size };
}

/** Why something that a quorum signed may be missing; undefined when it cannot be. */
function doubtOf(
  policy: Policy | undefined,
  answered: readonly Source[],
  { liars }: RestoreRequest,
): string | undefined {
  if (policy === undefined) return 'The history names no hosts: what was signed by whom cannot be known.';
  const pinned = new Set(answered.filter(({ isPinned }) => isPinned).map(({ host }) => host));
  const total = totalWeight(policy);
  const weight = weightOf(policy, pinned) - liars;
  if (weight > total - policy.required) return undefined;
  const missing = policy.hosts.filter(({ host }) => !pinned.has(host)).map(({ url, host }) => `${url}#${host}`);
  const unpinned = answered.filter(({ isPinned }) => !isPinned).map(({ url, host }) => `${url}#${host}`);
  const hint = unpinned.length === 0 ? '' : ` Hosts count when their keys are named: ${unpinned.join(', ')}.`;
  return `Events that a quorum signed may be missing: hosts of weight ${weight} of ${total} answer for themselves, more than ${total - policy.required} must.${hint} Not counted: ${missing.join(', ')}.`;
}
