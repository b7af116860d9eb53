import { acknowledgementStream } from '../../../domain/replication.js';
import type { Clock } from '../../clock.js';
import type { RootKey } from '../../crypto/root-key.js';
import { EmbeddedLog } from '../../eventlog/embedded.js';
import { newLogId } from '../../eventlog/log-id.js';
import type { HostPort } from '../replicator/host-port.js';
import type { HostAddress } from '../settings.js';
import type { Gap, Rotation } from './damage.js';
import { assertInOrder, DamagedFile, type Written } from './damaged-file.js';
import { GapFiller, type Fetched, type Filling } from './gap-filler.js';
import { KnownKeys } from './known-keys.js';
import { openOutboxNumbers, type OutboxNumbers } from './outbox-numbers.js';
import { RepairError } from './repair-error.js';
import { compareWithHosts, type Compared } from './signed-history.js';
import { survey, type Source } from './source.js';

/** Positions named one by one in a message. */
const MAX_NAMED = 20;

/** What is to be mended, and from where. */
export interface RepairRequest {
  /** The path of `log.db`. */
  readonly log: string;
  /** The path of `outbox.db`, which may not be there. */
  readonly outbox: string;
  readonly origin: string;
  readonly root: RootKey;
  readonly hosts: readonly HostAddress[];
}

/** What a repair works with. */
export interface RepairGround {
  readonly portOf: (url: string, host?: string) => HostPort;
  readonly clock: Clock;
  readonly onProgress: (what: 'search' | 'copy' | 'verify', position: number, end: number) => void;
  /** What went wrong with whom, while it goes on. */
  readonly onTrouble: (message: string) => void;
}

/** An event that was mended. */
export interface Mended extends Written {
  /** Who gave it; undefined when nobody could, and only its place is left. */
  readonly fetched: Fetched | undefined;
}

/** What a repair came to. */
export interface Repaired {
  readonly mended: readonly Mended[];
  /** Events of the log that were read at the end. */
  readonly events: number;
  /** Hosts whose signed root the log has; none when none was asked. */
  readonly agree: readonly Source[];
  /** Where the damaged file is kept; undefined when there was nothing to mend. */
  readonly kept: string | undefined;
}

/**
 * Mends a log that nobody uses: each event that is damaged or gone is taken from a host, verified, and put back where it
 * was. All of it or nothing: the file is replaced once the mended one has been read whole, and has the root that a host
 * signed. What never travels cannot be had again: its place is kept, as a truncation keeps it.
 * @throws RepairError, with nothing changed
 */
export async function repair(request: RepairRequest, ground: RepairGround): Promise<Repaired> {
  const file = await DamagedFile.open(request.log);
  let outbox: OutboxNumbers | undefined;
  try {
    outbox = await openOutboxNumbers(request.outbox);
    return await repairFile(file, outbox, request, ground);
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
  { portOf, clock, onProgress, onTrouble }: RepairGround,
): Promise<Repaired> {
  const { origin, root, hosts } = request;
  const { end: last, logId } = await file.place();
  const known = logId === undefined || outbox?.logId === logId ? outbox : undefined;
  // What the outbox has folded was there, even if it was last.
  const end = Math.max(last, known?.through ?? 0);
  const found = await file.damage(end, (position) => onProgress('search', position, end));
  const gaps = found.filter(({ kind }) => kind === 'gap').length;
  if (gaps === 0 && logId !== undefined && (await file.isInOrder()))
    return { mended: [], events: end, agree: [], kept: undefined };

  let asked: Promise<readonly Source[]> | undefined;
  const sources = () => (asked ??= ask(hosts, origin, portOf, onTrouble));
  const keys = new KnownKeys(root, origin);
  const filler = new GapFiller({ origin, root, keys, outbox: known, sources, onTrouble });
  const fillings = await fill(found, filler, keys);
  const place = { end, logId: logId ?? known?.logId ?? newLogId(), spare: acknowledgementStream(origin) };
  const written = await file.mend(fillings, place, (position) => onProgress('copy', position, end));

  await assertInOrder(file.mended);
  const log = await EmbeddedLog.open(file.mended, clock);
  const answered = (await asked) ?? [];
  const verified = (position: bigint) => onProgress('verify', Number(position), end);
  const compared = await compareWithHosts(log, new KnownKeys(root, origin), answered, verified).finally(() =>
    log.close(),
  );
  assertSameHistory(compared, onTrouble);
  await file.install();
  const mended = written.map((row, i) => ({ ...row, fetched: fillings[i]?.fetched }));
  return { mended, events: compared.events, agree: compared.agree, kept: file.kept };
}

async function ask(
  hosts: readonly HostAddress[],
  origin: string,
  portOf: RepairGround['portOf'],
  onTrouble: RepairGround['onTrouble'],
): Promise<readonly Source[]> {
  const { sources, absent } = await survey(hosts, origin, portOf);
  for (const { why } of absent) onTrouble(why);
  return sources;
}

/** Fills gap after gap: how many events travelled before each, and the keys, follow from those before. */
async function fill(found: readonly (Gap | Rotation)[], filler: GapFiller, keys: KnownKeys): Promise<Filling[]> {
  const all: Filling[] = [];
  const nowhere: number[] = [];
  let travelled = 0;
  for (const item of found) {
    const sequence = item.before + travelled + 1;
    if (item.kind === 'rotation') {
      keys.learn(sequence, item.data);
      continue;
    }
    const { fillings, empty } = await filler.fill(item, sequence);
    travelled += empty.length + fillings.filter(({ fetched }) => fetched !== undefined).length;
    all.push(...fillings);
    nowhere.push(...empty);
  }
  if (nowhere.length > 0) throw new RepairError(unmendable(nowhere));
  return all;
}

function unmendable(positions: readonly number[]): string {
  const named = positions.slice(0, MAX_NAMED).join(', ');
  const more = positions.length > MAX_NAMED ? ` and ${positions.length - MAX_NAMED} more` : '';
  return `No host gives back the events at these positions: ${named}${more}. Nothing was changed. Bring hosts into reach that have them (--hosts) and run this again. What no host ever had is lost with this file: save the rest (sheratan export --unreplicated --skip-damaged FILE), restore into an empty folder (sheratan restore), and judge what was saved afresh there (sheratan import --rebase FILE).`;
}

/** @throws RepairError when all the hosts have signed for something else */
function assertSameHistory({ agree, differ }: Compared, onTrouble: RepairGround['onTrouble']): void {
  for (const { url, host } of differ) onTrouble(`${url} (${host}) has signed for another history than this log's`);
  if (differ.length > 0 && agree.length === 0)
    throw new RepairError(
      'The mended log would not be what the hosts have signed for: they have, or follow, another history. Nothing was changed. Restore into an empty folder instead: `sheratan restore`.',
    );
}
