import type { RecordedEvent } from '../../src/domain/event.js';
import { MerkleFrontier } from '../../src/domain/merkle.js';
import { corePaths } from '../../src/infra/core-paths.js';
import { toHex } from '../../src/infra/crypto/bytes.js';
import { addressOf } from '../../src/infra/crypto/envelope.js';
import { readKeyring } from '../../src/infra/crypto/keyring-file.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import { eventText, type TravellingEvent } from '../../src/infra/offgrid/event-text.js';
import type { ReturnedEvent } from '../../src/infra/offgrid/replicator/host-port.js';
import { Opener } from '../../src/infra/offgrid/restore/opener.js';
import type { Source } from '../../src/infra/offgrid/restore/source.js';
import { ORIGIN } from '../support/offgrid/writer.js';
import type { KilledHost } from './killed-host.js';

/** Events asked for at a time. */
const PAGE = 500;

/** What a host has, unsealed with the core's keyring, is what travels of the log: all of it, in order, once. */
export async function auditHost(
  host: KilledHost,
  travelling: readonly RecordedEvent[],
  dataDir: string,
): Promise<string[]> {
  const source = await host.source();
  const root = await readKeyring(corePaths(dataDir).keyring, undefined);
  if (root === undefined) return ['the core has no keyring'];
  const wrong: string[] = [];
  const say = (what: string) => wrong.push(`${host.url}: ${what}`);

  const returned = await allOf(source);
  const opener = new Opener(root, ORIGIN);
  const there = returned.map((event) => described(event.sequence, event.etype, event.ts, opener.open(event)));
  const expected = travelling.map((event, i) => described(i + 1, event.etype, Date.parse(event.metadata.at), event));
  const other = expected.findIndex((event, i) => there[i] !== event);
  if (other >= 0) say(`it has ${there[other]} where the log has ${expected[other]}`);
  if (there.length !== expected.length) say(`it has ${there.length} events, and the log ${expected.length}`);
  if (new Set(there).size !== there.length) say('it has events twice');

  const tree = new MerkleFrontier(sha256);
  for (const { sealed } of returned) tree.append(addressOf(sealed));
  const { head } = source;
  if (head.sequence !== returned.length) say(`it has ${returned.length} events, and signs for ${head.sequence}`);
  if (head.root !== toHex(tree.root())) say('it signs for a root that its events do not have');

  const [rows] = await host.inFile<{ events: number; addresses: number; evidence: number; memory: number }>(
    `SELECT count(*) AS events, count(DISTINCT eid) AS addresses, (SELECT count(*) FROM evidence) AS evidence,
       (SELECT count(*) FROM memory) AS memory FROM events`,
  );
  const { length: count } = travelling;
  if (rows?.events !== count || rows.addresses !== count) say(`its file has other events: ${JSON.stringify(rows)}`);
  if (rows?.evidence !== 0 || rows.memory !== 0) say(`it has what nobody should have sent: ${JSON.stringify(rows)}`);
  return wrong;
}

/** All that a host has, as it gives it. */
async function allOf({ port }: Source): Promise<ReturnedEvent[]> {
  const events: ReturnedEvent[] = [];
  for (;;) {
    const page = await port.events(ORIGIN, events.length, PAGE);
    if (page.length === 0) return events;
    events.push(...page);
  }
}

function described(sequence: number, etype: number, at: number, event: TravellingEvent): string {
  return `${sequence} ${etype} ${at} ${eventText(event)}`;
}
