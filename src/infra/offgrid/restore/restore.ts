import { policiesInPlay } from '../../../domain/reading.js';
import { versionInForce, type ReplicasAcknowledged } from '../../../domain/replication.js';
import type { WriterRecord } from '../../../domain/writer.js';
import type { RootKey } from '../../crypto/root-key.js';
import type { EventLog } from '../../eventlog/eventlog.js';
import type { Time } from '../../platform/clock.js';
import type { HostClient } from '../protocol/host-client.js';
import type { HostAddress } from '../protocol/settings.js';
import { ContentFetcher } from './content-fetcher.js';
import { EntryCollector } from './entry-collector.js';
import { RestoreError } from './errors.js';
import { HistoryReader, type AcceptedHistory, type ReadHistory } from './history-reader.js';
import { surveyHosts, surveyHostsSoon, type HeardHost, type HostSurvey } from './host-survey.js';
import { LogBuilder } from './log-builder.js';

/** What is to be restored, and with what certainty. */
export interface RestoreRequest {
  readonly origin: string;
  readonly root: RootKey;
  readonly hosts: readonly HostAddress[];
  /** The weight of hosts that may be dishonest. */
  readonly dishonestWeight: number;
  /**
   * Takes what can be obtained where nothing can be read without loss, also from hosts whose keys are not named.
   * Undefined: the caller cannot accept a loss.
   */
  readonly acceptLoss?: boolean;
  /** The first digits of the root of the history that is chosen then. */
  readonly history?: string;
}

/** Dependencies of a restore. */
export interface RestoreDependencies {
  readonly clientOf: (url: string, host?: string) => HostClient;
  /** Makes an empty log beside those made before. */
  readonly newLog: () => Promise<EventLog>;
  readonly time: Time;
  readonly onProgress: (what: 'entries' | 'events', done: number, of: number) => void;
  /** Called with a problem that does not end the restore, and the host that has it. */
  readonly onTrouble: (message: string) => void;
}

/**
 * Reads back what hosts have of an origin. It only reads: nothing is claimed, and a core that may still run is not
 * disturbed. Hosts that do not answer soon are waited for only when the others are not enough, or a loss is accepted.
 * @throws RestoreError
 */
export async function readBack(
  request: RestoreRequest,
  dependencies: RestoreDependencies,
): Promise<ReadHistory | AcceptedHistory> {
  const { origin, root, hosts, acceptLoss = false } = request;
  const { clientOf, time, onTrouble } = dependencies;
  const asked = { origin, root, hosts, clientOf };
  if (acceptLoss) return readFrom(await surveyHosts(asked), request, dependencies);
  const { all, ...soon } = await surveyHostsSoon(asked, time);
  if (all === undefined) return readFrom(soon, request, dependencies);
  try {
    return await readFrom(soon, request, dependencies);
  } catch (error) {
    if (!(error instanceof RestoreError)) throw error;
    onTrouble('The hosts that have answered are not enough: the others are waited for.');
    return readFrom(await all, request, dependencies);
  }
}

/** Reads from the hosts that were heard. @throws RestoreError */
async function readFrom(
  { heard, unheard }: HostSurvey,
  request: RestoreRequest,
  dependencies: RestoreDependencies,
): Promise<ReadHistory | AcceptedHistory> {
  const { origin, root, dishonestWeight, acceptLoss = false, history } = request;
  const mayAcceptLoss = request.acceptLoss !== undefined;
  const { newLog, time, onProgress, onTrouble } = dependencies;
  for (const { why } of unheard) onTrouble(`${why} It is left out.`);
  const useful = heard.filter(({ isPinned }) => isPinned || acceptLoss);
  if (useful.length === 0 && heard.length > 0) throw new RestoreError(unnamed(heard, mayAcceptLoss));
  for (const { url, host, isPinned } of heard)
    if (!isPinned) onTrouble(`${url} counts for nothing: its key is not named. It states that it is ${url}#${host}.`);
  const names = new Map(useful.map(({ url, host }) => [host, `${url} (${host})`]));
  const collector = new EntryCollector({
    ...{ origin, hosts: useful, time },
    onProgress: (done, of) => {
      onProgress('entries', done, of);
    },
    onTrouble: ({ host }, why) => {
      onTrouble(`${names.get(host) ?? host}: ${why}`);
    },
  });
  const fetcher = new ContentFetcher({
    ...{ origin, time },
    onTrouble: (host, why) => {
      onTrouble(`${names.get(host) ?? host}: ${why}`);
    },
  });
  const builder = new LogBuilder({
    ...{ origin, root, newLog, fetcher, onTrouble },
    onProgress: (done, of) => {
      onProgress('events', done, of);
    },
  });
  const reader = new HistoryReader({
    ...{ heard: useful, collector, builder, dishonest: dishonestWeight, mayAcceptLoss, onTrouble },
  });
  return acceptLoss ? reader.readWithLoss(history) : reader.read();
}

/**
 * The last event of a log that was read back. It states on what the log was elected, what was at quorum, and that it
 * was restored; or, where a loss was accepted, that its next policy begins a line. The core must be elected like any
 * other before anything of it counts.
 */
export function restoredFact(
  read: ReadHistory | AcceptedHistory,
  { origin, dishonestWeight }: Pick<RestoreRequest, 'origin' | 'dishonestWeight'>,
): ReplicasAcknowledged {
  const { policies, epoch } = read;
  const common = { origin, writerEpoch: epoch, hosts: [], dishonestWeight };
  if ('loss' in read) {
    const line = policies.at(-1)?.line ?? 1;
    const elected = { line: read.line, epoch: 0, base: read.length };
    const policyVersion = policies.at(-1)?.policy.version ?? 0;
    const holes = read.holes.length === 0 ? {} : { holes: read.holes };
    return fact({ ...common, ...holes, policyVersion, line, quorumSequence: 0, quorumEpoch: 0, elected });
  }
  const { best, base, quorum, quorumEpoch } = read;
  const { line } = best;
  const policyVersion = versionInForce(policiesInPlay(policies, quorum), quorum);
  const elected = { line, epoch: best.epoch, base };
  return fact({ ...common, policyVersion, line, quorumSequence: quorum, quorumEpoch, elected, restored: true });
}

function fact(data: ReplicasAcknowledged['data']): ReplicasAcknowledged {
  return { type: 'ReplicasAcknowledged', data };
}

/** The writer's record that a restored core begins with: its first epoch is above every epoch that was seen. */
export function restoredWriter({ epoch, log }: ReadHistory | AcceptedHistory): WriterRecord {
  return { logId: log.logId, epoch };
}

function unnamed(heard: readonly HeardHost[], mayAcceptLoss: boolean): string {
  const named = heard.map(({ url, host }) => `${url}#${host}`).join(',');
  return `Hosts count only when their keys are named, and none is: nothing shows that these are the hosts that signed. They state that they are --hosts '${named}'. Compare that with what \`sheratan keys export\` printed, and name them${mayAcceptLoss ? ', or take what can be obtained: --accept-loss' : ''}.`;
}
