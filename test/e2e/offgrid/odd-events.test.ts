import { readdir } from 'node:fs/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { ETYPES, type EventType } from '../../../src/domain/event.js';
import type { JsonObject } from '../../../src/domain/json.js';
import { toHex } from '../../../src/infra/crypto/bytes.js';
import { dataKey, KEY_BYTES } from '../../../src/infra/crypto/data-key.js';
import { seal } from '../../../src/infra/crypto/envelope.js';
import { formatRecoveryKey } from '../../../src/infra/crypto/recovery-key.js';
import { RootKey } from '../../../src/infra/crypto/root-key.js';
import { sha256 } from '../../../src/infra/crypto/sha256.js';
import { MerkleFrontier } from '../../../src/domain/merkle.js';
import { eventText } from '../../../src/infra/offgrid/protocol/event-text.js';
import type { RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { encodeEntry, entryOf } from '../../../src/infra/offgrid/protocol/entry.js';
import type { SealedEvent } from '../../../src/infra/offgrid/protocol/event.js';
import { newDataDir, Sheratan } from '../../support/core.js';
import { collect, newEvent, newMetadata } from '../../support/events.js';
import { withLogOf } from '../../infra/transfer/support.js';
import { newHost } from '../../support/offgrid/host.js';
import { replicating, restoreInto, titlesOf, WAIT } from '../../support/offgrid/machine.js';
import { History, ORIGIN, Process } from '../../support/offgrid/by-hand.js';

/** An event to be sealed: its type, stream and data, and its number where this build does not know the type. */
type EventSpec = readonly [type: string, stream: string, data: JsonObject, etype?: number];

let writer: Process;
let host: RunningHost;

beforeEach(async () => {
  writer = new Process(RootKey.generate());
  host = await newHost();
});

const mission = (id: string): EventSpec => [
  'MissionCreated',
  `mission-${id}`,
  { missionId: id, title: id, description: '', metadata: {}, tags: [] },
];

/** What a core writes first: its key, and its policy of the one host. Events after that are under that key. */
function beginning(): readonly EventSpec[] {
  const { id: rootKeyId } = writer.root;
  const wrappedKey = writer.root.wrap(KEY, ORIGIN, 1);
  const { url, identity } = host;
  const verifyKey = identity.verifyKey;
  return [
    ['KeyRotated', `keyring-${ORIGIN}`, { origin: ORIGIN, keyEpoch: 1, keyId: toHex(KEY.id), rootKeyId, wrappedKey }],
    [
      'ReplicationPolicySet',
      `replication-${ORIGIN}`,
      {
        origin: ORIGIN,
        version: 1,
        required: 1,
        hosts: [{ host: identity.id, url, verifyKey, weight: 1, confirmed: true }],
      },
    ],
  ];
}

const KEY = dataKey(new Uint8Array(KEY_BYTES).fill(7));

/** Seals events as a core would, and ships them to the host. */
async function ship(specs: readonly EventSpec[]): Promise<void> {
  const revisions = new Map<string, bigint>();
  const frontier = new MerkleFrontier(sha256);
  const events = specs.map(([type, stream, data, number], i): SealedEvent => {
    const etype = number ?? ETYPES[type as EventType];
    const place = { origin: ORIGIN, sequence: i + 1, etype, at: 1_700_000_000_000 + i };
    const revision = revisions.get(stream) ?? 0n;
    revisions.set(stream, revision + 1n);
    const key = type === 'KeyRotated' ? writer.root.firstDataKey : KEY;
    const metadata = { ...newMetadata(), at: new Date(place.at).toISOString() };
    const sealed = seal(key, place, eventText({ ...newEvent({ type, data, metadata }), stream, revision }));
    const event = { etype, ts: place.at, sealed: new Uint8Array(sealed) };
    frontier.append(encodeEntry(entryOf(event)));
    return event;
  });
  await writer.claim(host);
  const [sequence, root] = [events.length, new Uint8Array(frontier.root())];
  const tree = writer.tree(History.begin(writer.root), 0, { sequence, root });
  await writer.shipTree(host, tree, { events }, 1, sequence);
}

async function restored() {
  const dataDir = await newDataDir();
  const pinned = [`${host.url}#${host.identity.id}`];
  const outcome = await restoreInto(dataDir, formatRecoveryKey(writer.root), pinned);
  return { dataDir, pinned, ...outcome };
}

function typesIn(dataDir: string): Promise<string[]> {
  return withLogOf(dataDir, async (log) => (await collect(log.readAll())).map(({ type }) => type));
}

describe('a restore of a history with events that cannot be folded', () => {
  it('stores each as it arrived, with its number; only its effect is left out, which is reported and counted', async () => {
    const foreign = { origin: 'elsewhere', version: 9, required: 99, hosts: [] };
    const odd: readonly EventSpec[] = [
      ['ReplicationPolicySet', `replication-${ORIGIN}`, { origin: ORIGIN, version: 2 }],
      ['ReplicationPolicySet', `replication-${ORIGIN}`, { ...foreign, origin: ORIGIN, version: 'x' }],
      ['ReplicationPolicySet', 'replication-elsewhere', foreign],
      [
        'KeyRotated',
        'keyring-elsewhere',
        { origin: 'elsewhere', keyEpoch: 2, keyId: 'x', rootKeyId: 'x', wrappedKey: 'x' },
      ],
      ['KeyRotated', `keyring-${ORIGIN}`, { origin: ORIGIN, keyEpoch: 2, rootKeyId: writer.root.id }],
      ['MissionUpdated', 'mission-missing', { missionId: 'missing', title: 'T' }],
    ];
    const specs = [...beginning(), mission('a'), ...odd, mission('b')];
    await ship(specs);
    const { code, output, errors, dataDir, pinned } = await restored();
    expect([code, errors.filter((line) => line.startsWith('sheratan'))]).toEqual([0, []]);
    expect(output).toContain('outbox: events that could not be folded: 3; each keeps its place and its number');
    expect(output).toContain('missions: events that could not be folded: 1; each keeps its place and its number');
    expect(output.filter((line) => line.includes('has no effect'))).toHaveLength(4);
    expect((await typesIn(dataDir)).slice(0, specs.length)).toEqual(specs.map(([type]) => type));

    // The core continues: what it ships now has the next numbers.
    const core = await Sheratan.serve(dataDir, replicating(pinned));
    expect(await titlesOf(core)).toEqual(['a', 'b']);
    // A restored core records its policy again.
    const began = specs.length + 1;
    await expect.poll(() => shippedBy(core), WAIT).toMatchObject({ headSequence: began, quorumSequence: began });
    await core.gql('mutation { createMission(input: { title: "c" }, consistency: REPLICATED) { __typename } }');
    const number = began + 1;
    await expect.poll(() => shippedBy(core), WAIT).toMatchObject({ headSequence: number, quorumSequence: number });
    const drilled = await Sheratan.run(
      ['restore', '--drill', '--hosts', pinned.join(',')],
      dataDir,
      replicating(pinned),
    );
    expect(drilled.output.at(-1)).toBe(`the same: ${number} events could be restored`);
  });

  it('stores those of a newer build, at which the read models stop with NEWER_EVENT', async () => {
    const newer: readonly EventSpec[] = [
      ['Unheard', 'unheard-1', {}, 99],
      ['Unheard', 'mission-a', {}, 99],
      ['JobLeaseExtended', 'job-j', {}],
    ];
    const specs = [...beginning(), mission('a'), ...newer, mission('b')];
    await ship(specs);
    const { code, output, dataDir, pinned } = await restored();
    expect(code).toBe(0);
    expect(
      output
        .filter((line) => line.includes('NEWER_EVENT'))
        .map((line) => line.split(':')[0])
        .sort(),
    ).toEqual(['missions', 'outbox']);
    expect((await typesIn(dataDir)).slice(0, specs.length)).toEqual(specs.map(([type]) => type));
    const core = await Sheratan.serve(dataDir, replicating(pinned));
    // They continue where the restore stopped, and reach the same event again.
    await expect
      .poll(async () => (await core.gql('{ projections { name state error { code } } }')).projections, WAIT)
      .toEqual(['missions', 'outbox'].map((name) => ({ name, state: 'HALTED', error: { code: 'NEWER_EVENT' } })));
    expect(await (await fetch(`${core.url}/readyz`)).json()).toMatchObject({
      reasons: ['missions: HALTED, NEWER_EVENT', 'outbox: HALTED, NEWER_EVENT'],
    });
    const update = 'mutation { updateMission(input: { id: "a", title: "T" }) { __typename } }';
    const { errors } = await core.ask(update);
    expect(errors[0].extensions).toEqual({ code: 'NEWER_EVENT' });
  });

  it('stops at content that is not an event, names it, and leaves nothing behind', async () => {
    await ship([...beginning(), ['MissionCreated', 'mission-a', {}, 11], mission('b')]);
    const { code, errors, dataDir } = await restored();
    expect(code).not.toBe(0);
    expect(errors.at(-1)).toMatch(/Event 3 of 'core-v2' opens, but was sealed as number 11 .* The restore stops here/);
    expect(await readdir(dataDir)).toEqual([]);
  });
});

function shippedBy(core: Sheratan) {
  return core.gql('{ replicationStatus { headSequence quorumSequence } }').then((data) => data.replicationStatus);
}
