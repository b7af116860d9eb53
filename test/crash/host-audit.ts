import type { RecordedEvent } from '../../src/domain/event.js';
import { MerkleFrontier } from '../../src/domain/merkle.js';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { equalBytes } from '../../src/infra/crypto/bytes.js';
import { readKeyring } from '../../src/infra/crypto/keyring-file.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import { eventText, type EventContent } from '../../src/infra/offgrid/protocol/event-text.js';
import { encodeEntry, entryOf } from '../../src/infra/offgrid/protocol/entry.js';
import type { NumberedEvent } from '../../src/infra/offgrid/protocol/event.js';
import type { Tree } from '../../src/infra/offgrid/protocol/tree.js';
import type { HeardHost } from '../../src/infra/offgrid/restore/host-survey.js';
import { EnvelopeReader } from '../../src/infra/offgrid/restore/envelope-reader.js';
import { ORIGIN } from '../support/offgrid/by-hand.js';
import type { KilledHost } from './killed-host.js';

/** How many events are requested at a time. */
const PAGE = { of: 'head', limit: 500, bytes: 256 * 1024 } as const;

/** What a host has, unsealed with the core's keyring, must be all replicated events of the log, in order, once. */
export function auditHost(host: KilledHost, replicated: readonly RecordedEvent[], dataDir: string): Promise<string[]> {
  return host.ask((heard) => audit(host, heard, replicated, dataDir));
}

async function audit(
  host: KilledHost,
  heard: HeardHost,
  replicated: readonly RecordedEvent[],
  dataDir: string,
): Promise<string[]> {
  const root = await readKeyring(corePaths(dataDir).keyring, undefined);
  if (root === undefined) return ['the core has no keyring'];
  const wrong: string[] = [];
  const report = (what: string) => wrong.push(`${host.url}: ${what}`);
  const { head } = heard;

  const returned = await allOf(heard, report);
  const opener = new EnvelopeReader(root, ORIGIN);
  const there = returned.map((event) => described(event.sequence, event.etype, event.ts, opener.open(event)));
  const expected = replicated.map((event, i) => described(i + 1, event.etype, Date.parse(event.metadata.at), event));
  const other = expected.findIndex((event, i) => there[i] !== event);
  if (other >= 0) report(`it has ${there[other]} where the log has ${expected[other]}`);
  if (there.length !== expected.length) report(`it has ${there.length} events, and the log ${expected.length}`);
  if (new Set(there).size !== there.length) report('it has events twice');

  const entries = returned.map((event) => encodeEntry(entryOf(event)));
  if (!equalBytes(Buffer.concat(await entriesOf(heard)), Buffer.concat(entries)))
    report('its entries do not match its events');
  const frontier = new MerkleFrontier(sha256);
  const roots = [frontier.root()];
  for (const entry of entries) {
    frontier.append(entry);
    roots.push(frontier.root());
  }
  const isOnIt = ({ sequence, root: signed }: Tree) => {
    const own = roots[sequence];
    return own !== undefined && equalBytes(own, signed);
  };
  const [tree, staged] = [head.tree?.value, head.staged?.value];
  if (tree?.sequence !== returned.length) report(`it has ${returned.length} events, and signs for ${tree?.sequence}`);
  if (tree === undefined || !isOnIt(tree)) report('it signs for a root that its events do not have');
  if (head.damaged !== 0) report(`it reports ${head.damaged} damaged events`);
  // A core that was killed before its election leaves what it had staged: the same events under its own epoch.
  if (staged !== undefined && !isOnIt(staged)) report('its staged tree is not of the log');

  const [rows] = await host.inFile<Readonly<Record<string, number>>>(
    `SELECT count(*) AS events, count(DISTINCT eid) AS addresses, (SELECT count(*) FROM head_tails) AS tails,
       (SELECT count(*) FROM evidence) + (SELECT count(*) FROM evidence_trees) AS evidence,
       (SELECT count(*) FROM memory) AS memory FROM events`,
  );
  const { length: count } = replicated;
  if (rows?.['events'] !== count || rows['addresses'] !== count)
    report(`its file has other events: ${JSON.stringify(rows)}`);
  if (rows?.['tails'] !== 0 || rows['evidence'] !== 0 || rows['memory'] !== 0)
    report(`it has events that no core should have sent: ${JSON.stringify(rows)}`);
  return wrong;
}

/** All events of a host's head, as the host gives them. */
async function allOf({ client }: HeardHost, report: (what: string) => void): Promise<NumberedEvent[]> {
  const events: NumberedEvent[] = [];
  for (;;) {
    const page = await client.events(ORIGIN, { ...PAGE, after: events.length });
    if (page.length === 0) return events;
    for (const { sealed, ...event } of page) {
      if (sealed === null) {
        report(`event ${event.sequence} is damaged there`);
        return events;
      }
      events.push({ ...event, sealed });
    }
  }
}

/** The entries that a host lists of its head. */
async function entriesOf({ client }: HeardHost): Promise<Uint8Array[]> {
  const entries: Uint8Array[] = [];
  for (;;) {
    const page = await client.entries(ORIGIN, { of: 'head', limit: PAGE.limit, after: entries.length });
    if (page.length === 0) return entries;
    entries.push(...page);
  }
}

function described(sequence: number, etype: number, at: number, event: EventContent): string {
  return `${sequence} ${etype} ${at} ${eventText(event)}`;
}
