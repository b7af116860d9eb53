import { expect, it } from 'vitest';
import { systemClock } from '../../../../src/infra/platform/clock.js';
import { toHex } from '../../../../src/infra/crypto/bytes.js';
import { sha256 } from '../../../../src/infra/crypto/sha256.js';
import { Blobs } from '../../../../src/infra/offgrid/host/blobs.js';
import { newIdentity } from '../../../../src/infra/offgrid/host/identity.js';
import { EventContents } from '../../../../src/infra/offgrid/host/event-contents.js';
import { HostFile } from '../../../../src/infra/offgrid/host/host-file.js';
import { RefusalError } from '../../../../src/infra/offgrid/host/refusal-error.js';
import { Replica } from '../../../../src/infra/offgrid/host/replica.js';
import { SqliteReplicaStore } from '../../../../src/infra/offgrid/host/sqlite-replica-store.js';
import { EVENT_BYTES } from '../../../../src/infra/offgrid/host/history-rows.js';
import { MAX_ANSWER_BYTES } from '../../../../src/infra/offgrid/protocol/queries.js';
import { signClaim } from '../../../../src/infra/offgrid/protocol/claim.js';
import type { SealedEvent } from '../../../../src/infra/offgrid/protocol/event.js';
import { NOT_ELECTED } from '../../../../src/infra/offgrid/protocol/fields.js';
import { openHead, openStatements } from '../../../../src/infra/offgrid/protocol/head.js';
import { openTree, type Tree } from '../../../../src/infra/offgrid/protocol/tree.js';
import { verifyKey, verifyKeyOf } from '../../../../src/infra/offgrid/protocol/verify-key.js';
import { newFolder } from '../../../support/offgrid/host.js';
import { ORIGIN, Process, History } from '../../../support/offgrid/by-hand.js';
import { Random } from '../../../support/random.js';

const SEEDS = Number(process.env['HOST_MODEL_SEEDS'] ?? 40);
const FIRST = Number(process.env['HOST_MODEL_SEED'] ?? process.env['TEST_SEED'] ?? 1);
const STEPS = 60;

interface StoredHistory {
  readonly tree: Tree;
  readonly events: readonly SealedEvent[];
  readonly roots: readonly Uint8Array[];
}

/** A host that follows "What a host does" in docs/protocol.md literally, and keeps every history completely. */
class Reference {
  claim: { epoch: number; writer: string } | undefined;
  head: StoredHistory | undefined;
  staged: StoredHistory | undefined;
  known: Tree | undefined;

  grant(epoch: number, writer: string): string {
    if (this.claim && (this.claim.epoch > epoch || (this.claim.epoch === epoch && this.claim.writer !== writer)))
      return 'FENCED';
    this.claim = { epoch, writer };
    return 'OK';
  }

  take(tree: Tree, history: History, from: number): string {
    if (!this.claim || this.claim.epoch < tree.epoch) return 'NOT_CLAIMED';
    if (this.claim.epoch > tree.epoch) return 'FENCED';
    if (this.claim.writer !== tree.writer) return 'NOT_CLAIMED';
    const lengths = [this.staged, this.head].map((stored) => stored?.events.length ?? 0);
    if (from - 1 > Math.max(...lengths)) return 'GAP';
    const batch = history.events.slice(from - 1, tree.sequence);
    const base = [this.staged, this.head ?? NONE].find(
      (stored) =>
        stored !== undefined &&
        stored.events.length >= from - 1 &&
        same(stored.roots[from - 1]!, history.rootAt(from - 1)),
    );
    if (base === undefined) return 'OTHER';
    for (const there of [this.head?.tree, this.known])
      if (there?.line === tree.line && !same(there.begun, tree.begun)) return 'FORKED';
    const stored: StoredHistory = {
      tree,
      events: [...base.events.slice(0, from - 1), ...batch],
      roots: Array.from({ length: tree.sequence + 1 }, (_, i) => history.rootAt(i)),
    };
    const learn = () => {
      const { known } = this;
      if (
        tree.quorum > 0 &&
        (!known || tree.line > known.line || (tree.line === known.line && tree.quorum > known.quorum))
      )
        this.known = tree;
    };
    if (tree.sequence < tree.base) {
      const { staged } = this;
      if (
        !staged ||
        !(staged.tree.epoch > tree.epoch || (staged.tree.epoch === tree.epoch && staged.events.length > tree.sequence))
      )
        this.staged = stored;
      learn();
      return 'OK';
    }
    const { head, known } = this;
    if (head?.tree.line === tree.line && head.tree.epoch === tree.epoch) {
      const shorter = Math.min(head.events.length, tree.sequence);
      if (!same(head.roots[shorter]!, stored.roots[shorter]!)) return 'FORKED';
      if (tree.sequence <= head.events.length) {
        if (tree.sequence === head.events.length && tree.quorum > head.tree.quorum) this.head = { ...head, tree };
        learn();
        return 'OK';
      }
    } else if (head && (tree.line - head.tree.line || tree.epoch - head.tree.epoch) < 0) return 'OLDER';
    if (known?.line === tree.line && same(known.begun, tree.begun)) {
      if (
        tree.sequence < known.quorum ? known.epoch < tree.epoch : !same(stored.roots[known.quorum]!, known.quorumRoot)
      )
        return 'COMMITTED';
    }
    this.head = stored;
    this.staged = undefined;
    learn();
    return 'OK';
  }
}

const NONE: StoredHistory = { tree: {} as Tree, events: [], roots: [sha256()] };

it(
  `follows "What a host does" of docs/protocol.md in seeds ${FIRST} to ${FIRST + SEEDS - 1}`,
  { timeout: 60_000 + SEEDS * 10_000 },
  async () => {
    const outcomes = new Map<string, number>();
    for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1) {
      const replay = `HOST_MODEL_SEED=${seed} HOST_MODEL_SEEDS=1`;
      await play(seed, replay, (outcome) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1));
    }
    // A history in which nothing happens proves nothing.
    if (SEEDS >= 40)
      for (const code of ['OK', 'FENCED', 'GAP', 'OTHER', 'FORKED', 'OLDER', 'COMMITTED', 'staged beside the head'])
        expect(outcomes.get(code), code).toBeGreaterThan(3);
  },
);

async function play(seed: number, replay: string, happened: (outcome: string) => void): Promise<void> {
  const random = new Random(seed);
  const pick = (count: number) => random.between(0, count - 1);
  const chance = (probability: number) => random.chance(probability);
  const folder = await newFolder();
  const made = newIdentity();
  const identity = await made.write(`${folder}/identity.pem`);
  const file = await HostFile.open(`${folder}/host.db`, identity.id, 1 << 30);
  const contents = new EventContents(await Blobs.open(folder), 400);
  const open = async () => SqliteReplicaStore.open(file, contents, systemClock);
  const options = async () => ({ store: await open(), identity, clock: systemClock, origins: new Map() });
  let replica = new Replica(ORIGIN, await options());
  const reference = new Reference();
  const empty = History.begin();
  const key = verifyKeyOf(empty.root.verifyKey);
  const hostKey = verifyKey(Buffer.from(identity.verifyKey, 'base64'), 'the key of the host');
  const histories = [empty.on(6 + pick(10), { bytes: pick(2) * 500 })];
  const processes = [new Process(empty.root)];
  const begun = [sha256(), histories[0]!.rootAt(3)];

  for (let step = 0; step < STEPS; step += 1) {
    if (chance(0.15)) {
      const from = histories[pick(histories.length)]!;
      histories.push(
        from.on(1 + pick(8), {
          at: Math.max(0, from.length - pick(6)),
          name: `s${histories.length}`,
          bytes: pick(2) * 500,
        }),
      );
    }
    if (chance(0.1)) replica = new Replica(ORIGIN, await options());
    let [expected, outcome] = ['', ''];
    if (chance(0.2) || reference.claim === undefined) {
      if (chance(0.5)) processes.push(new Process(empty.root, processes.length + 1 - pick(2), `abcdef:writer-${step}`));
      const { epoch, writer } = processes[chance(0.7) ? processes.length - 1 : pick(processes.length)]!;
      const claim = signClaim({ host: identity.id, epoch, origin: ORIGIN, writer }, empty.root.signingKey);
      expected = reference.grant(epoch, writer);
      outcome = await outcomeOf(replica.claim({ key, claim, challenge: new Uint8Array(16) }, sha256()));
    } else {
      const process = processes[chance(0.8) ? processes.length - 1 : pick(processes.length)]!;
      const history = histories[pick(histories.length)]!;
      const sequence = 1 + pick(history.length);
      const from = chance(0.6) ? 1 + Math.min(sequence, longest(reference, history)) : 1 + pick(sequence + 1);
      const line = chance(0.85) ? 1 : 2;
      const signed = process.tree(history, sequence, {
        base: chance(0.4) ? NOT_ELECTED : pick(history.length + 1),
        line,
        begun: chance(0.97) ? begun[line - 1]! : history.rootAt(1),
        quorum: chance(0.3) ? pick(sequence + 1) : 0,
      });
      const tree = openTree(signed, key).value;
      expected = reference.take(tree, history, from);
      const events = history.events.slice(from - 1, sequence);
      outcome = await outcomeOf(replica.append({ from, tree: signed, events }, sha256()));
    }
    happened(outcome);
    expect(outcome, `${replay}, step ${step}`).toBe(expected);
    const { value } = openHead(await replica.head(sha256()), hostKey);
    const statements = openStatements(value, key);
    for (const of of ['head', 'staged'] as const) {
      const stored = reference[of];
      const where = `${replay}, step ${step}: ${of}`;
      expect((of === 'head' ? statements.tree : statements.staged)?.value ?? null, where).toEqual(stored?.tree ?? null);
      const page = { of, after: 0, limit: 1_000 };
      const events = reference.claim === undefined ? [] : await replica.events({ ...page, bytes: MAX_ANSWER_BYTES });
      expect(events.map(shortly), where).toEqual(
        (stored?.events ?? []).map((event, i) => shortly({ ...event, sequence: i + 1 })),
      );
      if (stored === undefined) continue;
      const at = pick(stored.events.length + 1);
      expect(toHex((await replica.roots(at))[of]!), `${where}, root at ${at}`).toBe(toHex(stored.roots[at]!));
    }
    if (
      reference.head &&
      reference.staged &&
      !reference.head.events.every((event, i) => event === reference.staged?.events[i])
    )
      happened('staged beside the head');
  }
  const [sum] = await file.read((reader) =>
    reader.all<{ bytes: number }>(
      `SELECT coalesce(sum(bytes + ${EVENT_BYTES}), 0) AS bytes FROM (
         SELECT bytes FROM events UNION ALL SELECT bytes FROM head_tails UNION ALL SELECT bytes FROM evidence)`,
    ),
  );
  expect(file.usedBytes, replay).toBe(sum?.bytes);
  await file.close();
}

/** The number of a history's first events that the host has. */
function longest({ head, staged }: Reference, history: History): number {
  let most = 0;
  for (const stored of [head, staged])
    for (let i = 0; stored && i <= Math.min(stored.events.length, history.length); i += 1)
      if (same(stored.roots[i]!, history.rootAt(i))) most = Math.max(most, i);
  return most;
}

async function outcomeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'OK';
  } catch (error) {
    if (error instanceof RefusalError) return error.code;
    throw error;
  }
}

function shortly({
  sequence,
  ts,
  etype,
  sealed,
}: {
  sequence: number;
  ts: number;
  etype: number;
  sealed: Uint8Array | null;
}) {
  return `${sequence} ${ts} ${etype} ${sealed === null ? 'damaged' : toHex(sha256(sealed)).slice(0, 16)}`;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
