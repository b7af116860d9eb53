import { acknowledgementStream } from '../../../domain/replication.js';
import type { RootKey } from '../../crypto/root-key.js';
import { EmbeddedLog } from '../../eventlog/embedded/embedded-log.js';
import { newLogId } from '../../eventlog/log-id.js';
import type { Clock, Time } from '../../platform/clock.js';
import type { HostClient } from '../protocol/host-client.js';
import type { HostAddress } from '../protocol/settings.js';
import { ContentFetcher } from './content-fetcher.js';
import type { Gap, Rotation } from './damage.js';
import { assertInOrder, DamagedFile, type Written } from './damaged-file.js';
import { EntryCollector } from './entry-collector.js';
import { RepairError, RestoreError } from './errors.js';
import { GapFiller, type Fetched, type Filling } from './gap-filler.js';
import { HistoryReader } from './history-reader.js';
import { hostHistories, type HostHistory } from './host-histories.js';
import { surveyHosts, type HeardHost } from './host-survey.js';
import { KnownKeys } from './known-keys.js';
import { namedNumbers } from './named-numbers.js';
import { openOutboxNumbers, type OutboxNumbers } from './outbox-numbers.js';
import { OwnLog } from './own-log.js';

/** The log to be mended, and the hosts to mend it from. */
export interface RepairRequest {
  /** The path of `log.db`. */
  readonly log: string;
  /** The path of `outbox.db`, which need not exist. */
  readonly outbox: string;
  readonly origin: string;
  readonly root: RootKey;
  readonly hosts: readonly HostAddress[];
  /** The weight of hosts that may be dishonest. */
  readonly dishonestWeight: number;
}

/** Dependencies of a repair. */
export interface RepairDependencies {
  readonly clientOf: (url: string, host?: string) => HostClient;
  readonly clock: Clock;
  readonly time: Time;
  /** The progress of each part: in entries of the hosts, or in positions of the log. */
  readonly onProgress: (what: 'search' | 'entries' | 'copy' | 'verify', done: number, of: number) => void;
  /** Called with a problem that does not end the repair, and the host that has it. */
  readonly onTrouble: (message: string) => void;
}

/** An event that was mended. */
export interface Mended extends Written {
  /** The event and the host that gave it; undefined when no host could give it, and only its place is left. */
  readonly fetched: Fetched | undefined;
}

/** The result of a repair. */
export interface Repaired {
  readonly mended: readonly Mended[];
  /** How many events of the log were read at the end. */
  readonly events: number;
  /** Hosts whose head is on the log; empty when no host was asked. */
  readonly agree: readonly HeardHost[];
  /** Where the damaged file is kept; undefined when there was nothing to mend. */
  readonly kept: string | undefined;
}

/**
 * Mends a log that no process uses: each damaged or missing event is taken from a host, verified, and put back where it
 * was. It mends all or nothing: the file is replaced once the mended one has been read completely, and agrees with what
 * is read back from the hosts, as far as that reaches. A local event cannot be recovered: only its place is kept.
 * @throws RepairError, with nothing changed
 */
export async function repair(request: RepairRequest, dependencies: RepairDependencies): Promise<Repaired> {
  const file = await DamagedFile.open(request.log);
  let outbox: OutboxNumbers | undefined;
  try {
    outbox = await openOutboxNumbers(request.outbox);
    return await repairFile(file, outbox, request, dependencies);
  } finally {
    await outbox?.close();
    await file.discard();
    await file.close();
  }
}

async function repairFile(
  file: DamagedFile,
  outbox: OutboxNumbers | undefined,
  request: RepairRequest,
  dependencies: RepairDependencies,
): Promise<Repaired> {
  const { origin, root } = request;
  const { clock, onProgress } = dependencies;
  const { end: last, logId } = await file.place();
  const known = logId === undefined || outbox?.logId === logId ? outbox : undefined;
  // Events that the outbox has folded existed, even if the log has lost them at its end.
  const end = Math.max(last, known?.through ?? 0);
  const found = await file.damage(end, (position) => {
    onProgress('search', position, end);
  });
  const gaps = found.filter(({ kind }) => kind === 'gap').length;
  if (gaps === 0 && logId !== undefined && (await file.isInOrder()))
    return { mended: [], events: end, agree: [], kept: undefined };

  const hosts = new Hosts(request, dependencies);
  const fillings = await fillAll(found, hosts, { origin, root, outbox: known });
  const place = { end, logId: logId ?? known?.logId ?? newLogId(), spare: acknowledgementStream(origin) };
  const written = await file.mend(fillings, place, (position) => {
    onProgress('copy', position, end);
  });

  await assertInOrder(file.mended);
  const log = await EmbeddedLog.open(file.mended, clock);
  const verified = (position: bigint) => {
    onProgress('verify', Number(position), end);
  };
  const own = await OwnLog.read(log, origin, new KnownKeys(root, origin), verified).finally(() => log.close());
  const agree = await hosts.agreeWith(own);
  await file.install();
  const mended = written.map((row, i) => ({ ...row, fetched: fillings[i]?.fetched }));
  return { mended, events: own.events, agree, kept: file.kept };
}

/** The hosts that a log is mended from; they are asked when they are needed. */
class Hosts {
  readonly #request: RepairRequest;
  readonly #dependencies: RepairDependencies;
  #asked: { readonly heard: readonly HeardHost[]; readonly collector: EntryCollector } | undefined;

  constructor(request: RepairRequest, dependencies: RepairDependencies) {
    this.#request = request;
    this.#dependencies = dependencies;
  }

  /** The histories that they have, the highest rank first. */
  async *histories(): AsyncIterable<HostHistory> {
    const { origin } = this.#request;
    const { time } = this.#dependencies;
    const asked = (this.#asked ??= await this.#ask());
    const named = new Map(asked.heard.map(({ host, url }) => [host, `${url} (${host})`]));
    const onTrouble = (host: string, why: string) => {
      this.#dependencies.onTrouble(`${named.get(host) ?? host}: ${why}`);
    };
    yield* hostHistories({ ...asked, fetcher: new ContentFetcher({ origin, time, onTrouble }) });
  }

  /**
   * The hosts whose heads are on a log, once it was found to be what is read back from all of them; empty when no host
   * was asked.
   * @throws RepairError when it is another history
   */
  async agreeWith(own: OwnLog): Promise<readonly HeardHost[]> {
    if (this.#asked === undefined) return [];
    const { collector } = this.#asked;
    const { dishonestWeight: dishonest } = this.#request;
    const { namedHosts } = own;
    // Hosts that the log itself names need not be named again.
    const heard = this.#asked.heard.map((host) => ({ ...host, isPinned: host.isPinned || namedHosts.has(host.host) }));
    const { onTrouble } = this.#dependencies;
    const reader = new HistoryReader({
      ...{ heard, collector, builder: own, dishonest, mayAcceptLoss: false, onTrouble },
    });
    try {
      await reader.read();
    } catch (error) {
      if (!(error instanceof RestoreError)) throw error;
      throw new RepairError(
        `The mended log would not be what the hosts have: they have, or follow, another history, or too few of them answer. Nothing was changed. Run the repair again when more hosts answer, or restore into an empty folder instead: \`sheratan restore\`. ${error.message}`,
        { cause: error },
      );
    }
    return heard.filter(({ head: { tree } }) => {
      return tree !== null && own.entries.hasRoot(tree.value.sequence, tree.value.root);
    });
  }

  async #ask() {
    const { origin, root, hosts } = this.#request;
    const { clientOf, time, onProgress, onTrouble } = this.#dependencies;
    const { heard, unheard } = await surveyHosts({ origin, root, hosts, clientOf });
    for (const { why } of unheard) onTrouble(why);
    const collector = new EntryCollector({
      ...{ origin, hosts: heard, time },
      onProgress: (done, of) => {
        onProgress('entries', done, of);
      },
      onTrouble: ({ url, host }, why) => {
        onTrouble(`${url} (${host}): ${why}`);
      },
    });
    return { heard, collector };
  }
}

interface FillingBase {
  readonly origin: string;
  readonly root: RootKey;
  readonly outbox: OutboxNumbers | undefined;
}

/**
 * Fills every gap: without the hosts when only local events are damaged; otherwise from the first of their histories
 * that has all missing events.
 */
async function fillAll(
  found: readonly (Gap | Rotation)[],
  hosts: Hosts,
  base: FillingBase,
): Promise<readonly Filling[]> {
  const alone = await attempt(found, base, undefined);
  if ('fillings' in alone) return alone.fillings;
  let refused: RepairError | undefined;
  for await (const history of hosts.histories()) {
    const filled = await attempt(found, base, history);
    if ('fillings' in filled) return filled.fillings;
    refused ??= filled.refused;
  }
  throw refused ?? alone.refused;
}

/** Fills the gaps in order: how many replicated events are before each, and the keys, follow from those before. */
async function attempt(
  found: readonly (Gap | Rotation)[],
  base: FillingBase,
  history: HostHistory | undefined,
): Promise<{ readonly fillings: readonly Filling[] } | { readonly refused: RepairError }> {
  const { origin, root } = base;
  const keys = new KnownKeys(root, origin);
  const filler = new GapFiller({ ...base, keys, history });
  const all: Filling[] = [];
  const nowhere: number[] = [];
  let replicated = 0;
  try {
    for (const item of found) {
      const sequence = item.before + replicated + 1;
      if (item.kind === 'rotation') {
        keys.learn(sequence, item.data);
        continue;
      }
      const { fillings, empty } = await filler.fill(item, sequence);
      replicated += empty.length + fillings.filter(({ fetched }) => fetched !== undefined).length;
      all.push(...fillings);
      nowhere.push(...empty);
    }
  } catch (error) {
    if (error instanceof RepairError) return { refused: error };
    throw error;
  }
  return nowhere.length === 0 ? { fillings: all } : { refused: new RepairError(unmendable(nowhere)) };
}

function unmendable(positions: readonly number[]): string {
  return `No host gives back the events at these positions: ${namedNumbers(positions)}. Nothing was changed. Make hosts that have them reachable (--hosts), and run this again. Events that no host ever had are lost with this file: save the rest (sheratan export --unreplicated --skip-damaged FILE), restore into an empty folder (sheratan restore), and decide the saved commands again there (sheratan import --rebase FILE).`;
}
