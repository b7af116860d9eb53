import type { RecordedEvent } from '../../src/domain/event.js';
import { MerkleFrontier } from '../../src/domain/merkle.js';
import type { HostStateChanged, ReplicasAcknowledged, WonElection } from '../../src/domain/replication.js';
import { equalBytes } from '../../src/infra/crypto/bytes.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import type { RefusalError } from '../../src/infra/offgrid/host/refusal-error.js';
import { openHead } from '../../src/infra/offgrid/protocol/head.js';
import { signedThingOf } from '../../src/infra/offgrid/replication/signed-text.js';
import { compareRank, openTree, type Tree } from '../../src/infra/offgrid/protocol/tree.js';
import type { SignedThing } from '../../src/infra/offgrid/protocol/signed.js';
import { ORIGIN_KEY, type SentBatch } from './bodies.js';
import { isWithout } from './controls.js';
import type { SimCore } from './core.js';
import type { Histories, History } from './histories.js';
import type { DiskRow, DiskState } from './host-disk.js';
import type { SimHost } from './host.js';

/** An epoch above this shows that epochs are wasted. */
const MAX_EPOCHS = 400;

/** A promise does not hold. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** @throws Violation unless something holds @param message called only then */
export function check(holds: boolean, message: () => string): void {
  if (!holds) throw new Violation(message());
}

/** A history that was reported as replicated. */
export interface Reported {
  readonly history: History;
  readonly line: number;
  readonly begun: History;
  readonly epoch: number;
  /** The hosts whose heads were counted. */
  readonly hosts: ReadonlySet<SimHost>;
  /** Whether a loss of it was accepted. */
  isLost: boolean;
}

/** An election that was won. */
interface Election {
  readonly epoch: number;
  readonly begun: History;
  readonly base: number;
  readonly history: History;
  readonly hosts: ReadonlySet<SimHost>;
}

/** A tree that was sent, with its history. */
interface Shown {
  readonly tree: Tree;
  readonly history: History;
  readonly quorum: History;
  readonly begun: History;
}

/** Watches what every core records, what every host keeps, and what is read back. */
export class Invariants {
  readonly histories: Histories;
  readonly reported: Reported[] = [];
  /** Every tree that was ever sent, in order. */
  readonly pool: SentBatch[] = [];
  readonly counts = {
    elections: 0,
    reported: 0,
    stops: 0,
    setAside: 0,
    maxEpoch: 0,
    OLDER: 0,
    FORKED: 0,
    COMMITTED: 0,
  };
  /** Whether a process was resumed twice: two processes may then write as one writer. */
  isCloned = false;
  /**
   * Whether the condition of the promise was not met somewhere: an election, or a quorum, without an honest host in
   * common with the other. That is possible only where there are dishonest hosts that were not declared.
   */
  isDeceived = false;
  readonly #hosts: readonly SimHost[];
  /** Whether there are dishonest hosts that were not declared. */
  readonly #isUndeclared: boolean;
  readonly #shown = new Map<SentBatch, Shown>();
  readonly #elections: Election[] = [];
  readonly #reached = new WeakMap<SimCore, Map<SimHost, { readonly sequence: number; readonly epoch: number }>>();

  /** The verified frontier of each host's head. */
  readonly #frontiers = new Map<SimHost, { rows: readonly DiskRow[]; size: number; frontier: MerkleFrontier }>();

  constructor(histories: Histories, hosts: readonly SimHost[], isUndeclared: boolean) {
    this.histories = histories;
    this.#hosts = hosts;
    this.#isUndeclared = isUndeclared;
  }

  /** Whether a violation may result from dishonest hosts that were not declared. */
  get isExcused(): boolean {
    return this.#isUndeclared && this.isDeceived;
  }

  /** A core sends a batch. @throws Violation */
  onShip(core: SimCore, sent: SentBatch): void {
    if (this.#shown.has(sent)) return;
    const { histories } = this;
    const { tree } = sent;
    const log = core.log.history();
    histories.learn(log, tree);
    const shown: Shown = {
      tree,
      history: histories.ofRoot(tree.root),
      quorum: histories.ofRoot(tree.quorumRoot),
      begun: histories.ofRoot(tree.begun),
    };
    this.#shown.set(sent, shown);
    this.pool.push(sent);
    this.#epochOf(tree.epoch);
    for (const election of this.#elections) this.#isBelowBase(shown, election);
  }

  /** A core has appended an event. @throws Violation */
  onRecorded(core: SimCore, { type, data }: RecordedEvent): void {
    if (type === 'HostStateChanged') this.#isAccusedRightly(data as unknown as HostStateChanged['data']);
    if (type !== 'ReplicasAcknowledged') return;
    const acknowledged = data as unknown as ReplicasAcknowledged['data'];
    const { elected, restored, writerEpoch, line } = acknowledged;
    this.#epochOf(writerEpoch);
    if (elected !== undefined && restored !== true && elected.line === line && elected.epoch === writerEpoch)
      this.#onElected(core, elected);
    else if (elected === undefined) this.#onCounted(core, acknowledged);
  }

  /** A core takes no more commands: some tree that was sent must not be on its log. @throws Violation */
  onHalted(core: SimCore, code: string, message: string): void {
    this.counts.stops += 1;
    const log = core.log.history();
    const [line, won] = [this.histories.lineOf(log), core.state.elected?.epoch ?? 0];
    const has = (history: History) => this.histories.has(log, history);
    // A tree that was never at quorum, and is older than the election that the log has won, is no reason to stop.
    const isOff = ({ history, quorum, tree, begun }: Shown) =>
      tree.line >= line && (!has(begun) || !has(quorum) || ((tree.line > line || tree.epoch >= won) && !has(history)));
    check([...this.#shown.values()].some(isOff), () => `${core.name} stops without a reason: ${code} ${message}`);
  }

  /** What a host keeps has changed. @throws Violation */
  onDisk(host: SimHost, after: DiskState, before: DiskState | undefined): void {
    if (host.isFaulty || after.head === (before?.head ?? null)) return;
    const { histories } = this;
    const [now, was] = [treeOf(after.head), treeOf(before?.head ?? null)];
    check(now !== undefined, () => `${host.url} has no head any more`);
    if (now === undefined) return;
    check(compareRank(now, was) >= 0, () => `the head of ${host.url} falls: ${words(was)} to ${words(now)}`);
    // Without this rule, the control searches for what follows from its absence, and not for the absence.
    check(
      now.sequence >= now.base || isWithout('base'),
      () => `the head of ${host.url} is not complete: ${words(now)}`,
    );
    this.#isWhole(host, after, now);
    if (was === undefined) return;
    const [next, last] = [histories.ofRoot(now.root), histories.ofRoot(was.root)];
    if (histories.has(next, last)) return;
    const lost = this.reported.find(
      (one) =>
        !one.isLost &&
        one.line >= now.line &&
        one.hosts.has(host) &&
        histories.has(last, one.history) &&
        !histories.has(next, one.history),
    );
    if (lost === undefined) return;
    this.counts.setAside += 1;
    check(this.isExcused, () => `${host.url} sets ${this.name(lost)} aside, which was replicated, for ${words(now)}`);
  }

  /** An honest host refuses something. @throws Violation */
  onRefused(host: SimHost, { code, message }: RefusalError): void {
    if (code === 'OLDER' || code === 'FORKED' || code === 'COMMITTED') this.counts[code] += 1;
    const isWrong = code === 'COMMITTED' && !host.isFaulty && !this.#isUndeclared && !this.isCloned;
    check(!isWrong, () => `${host.url} refuses an honest writer: ${message}`);
  }

  /** A description of a reported history. */
  name({ history, line, begun, epoch }: Reported): string {
    return `${this.histories.lengthOf(history)} events of epoch ${epoch} in line ${line} (begun at ${begun})`;
  }

  /** Whether a host has the first events that are reported, by what is on its disk. */
  has(host: SimHost, history: History): boolean {
    const head = treeOf(host.disk.state?.head ?? null);
    return head !== undefined && this.histories.has(this.histories.ofRoot(head.root), history);
  }

  /** The line of a host's head: it may already be a line that was begun later. */
  #lineOf(host: SimHost): number {
    return treeOf(host.disk.state?.head ?? null)?.line ?? 0;
  }

  #onElected(core: SimCore, { epoch, base }: WonElection): void {
    const { histories, reported } = this;
    this.counts.elections += 1;
    const history = core.log.history();
    const [line, begun] = [histories.lineOf(history), histories.begunOf(history)];
    check(base <= core.log.length, () => `${core.name} is elected on ${base} events and has ${core.log.length}`);
    const hosts = this.#electorate(core);
    const election: Election = { epoch, begun, base, history, hosts };
    for (const one of reported) {
      if (one.isLost || one.line !== line) continue;
      const isMet = [...one.hosts].some((host) => !host.isFaulty && hosts.has(host));
      if (one.begun === begun && !isMet) this.isDeceived = true;
      const isBound = one.epoch < epoch && (one.begun === begun || isMet);
      check(
        !isBound || histories.has(history, one.history) || this.isExcused,
        () => `${core.name} is elected in epoch ${epoch} without ${this.name(one)}, which was replicated`,
      );
    }
    this.#elections.push(election);
    for (const shown of this.#shown.values()) this.#isBelowBase(shown, election);
  }

  /** The hosts that have granted, without those whose events a restored log leaves out. */
  #electorate(core: SimCore): ReadonlySet<SimHost> {
    const hosts = new Set<SimHost>();
    const own = core.state.elected?.epoch ?? 0;
    for (const [id, { tree }] of core.replicator?.writer.granted ?? []) {
      const isOff =
        tree !== null &&
        tree.value.epoch >= own &&
        !this.histories.has(core.log.history(), this.histories.ofRoot(tree.value.root));
      if (!isOff) hosts.add(this.#host(id));
    }
    return hosts;
  }

  #onCounted(core: SimCore, { writerEpoch: epoch, line, hosts, quorumSequence }: ReplicasAcknowledged['data']): void {
    const { histories } = this;
    const reached = this.#reached.get(core) ?? new Map<SimHost, { sequence: number; epoch: number }>();
    this.#reached.set(core, reached);
    for (const { host: id, sequence, head } of hosts) {
      const host = this.#host(id);
      reached.set(host, { sequence, epoch });
      if (head === null) continue;
      const { damaged } = openHead(signedThingOf('head', head.signed), host.identity.verifyKey).value;
      check(
        host.isFaulty || damaged <= core.state.holes.size,
        () => `${core.name} counts ${host.url}, of which ${damaged} events are damaged`,
      );
    }
    const log = core.log.history();
    if (quorumSequence === 0 || quorumSequence <= core.state.quorum || line !== histories.lineOf(log)) return;
    const history = histories.first(log, quorumSequence);
    const begun = histories.begunOf(log);
    const having = [...reached].filter(([, at]) => at.epoch === epoch && at.sequence >= quorumSequence);
    const one: Reported = { history, line, begun, epoch, hosts: new Set(having.map(([host]) => host)), isLost: false };
    const isHonest = (host: SimHost) => !host.isFaulty;
    for (const election of this.#elections) {
      const isLater = election.begun === begun && election.epoch > epoch;
      if (isLater && ![...one.hosts].some((host) => isHonest(host) && election.hosts.has(host))) this.isDeceived = true;
    }
    this.counts.reported += quorumSequence - core.state.quorum;
    this.reported.push(one);
    if (this.isExcused) return;
    for (const host of one.hosts)
      check(
        !isHonest(host) || this.has(host, history) || this.#lineOf(host) > line,
        () => `${core.name} reports ${this.name(one)}, which ${host.url} has not`,
      );
    for (const other of this.reported)
      check(
        other.isLost ||
          other.begun !== begun ||
          histories.has(other.history, history) ||
          histories.has(history, other.history),
        () => `two histories of one line were replicated: ${this.name(other)} and ${this.name(one)}`,
      );
  }

  /**
   * The quorum that a tree of an epoch states is below the base of every later election of its line, and on its log.
   */
  #isBelowBase({ tree, quorum, begun }: Shown, election: Election): void {
    if (election.begun !== begun || election.epoch <= tree.epoch || this.isCloned || this.#isUndeclared) return;
    check(
      tree.quorum <= election.base && this.histories.has(election.history, quorum),
      () =>
        `a tree of epoch ${tree.epoch} states that ${tree.quorum} were at quorum; epoch ${election.epoch} was elected on ${election.base}`,
    );
  }

  #isAccusedRightly({ host: id, state, why, proof }: HostStateChanged['data']): void {
    const host = this.#host(id);
    const isAccused = proof !== undefined || state === 'BLOCKED';
    check(!isAccused || host.isFaulty, () => `${host.url} is honest, and is ${state}: ${why}`);
  }

  /** What a head states of its events follows from them. */
  #isWhole(host: SimHost, { rows, places }: DiskState, { sequence, root }: Tree): void {
    const { head } = rows;
    check(
      head.length === sequence && places.head.sequence === sequence,
      () => `${host.url} has ${head.length} of ${sequence} events`,
    );
    // Rows are never changed: if the last is the same, so are those before it.
    const last = this.#frontiers.get(host);
    const isOn = last !== undefined && last.size > 0 && last.rows[last.size - 1] === head[last.size - 1];
    const frontier = isOn ? last.frontier.copy() : new MerkleFrontier(sha256);
    for (const { leaf, written = leaf } of head.slice(frontier.size)) frontier.appendHash(written);
    this.#frontiers.set(host, { rows: head, size: head.length, frontier });
    check(equalBytes(frontier.root(), root), () => `the head of ${host.url} is not that of its events`);
  }

  #epochOf(epoch: number): void {
    this.counts.maxEpoch = Math.max(this.counts.maxEpoch, epoch);
    check(epoch <= MAX_EPOCHS, () => `epochs are burnt: ${epoch}`);
  }

  #host(id: string): SimHost {
    const host = this.#hosts.find(({ identity }) => identity.id === id);
    if (host === undefined) throw new Error(`there is no host ${id}`);
    return host;
  }
}

const opened = new WeakMap<SignedThing<'tree'>, Tree>();

/** The content of a tree. */
export function treeOf(signed: SignedThing<'tree'> | null): Tree | undefined {
  if (signed === null) return undefined;
  const known = opened.get(signed) ?? openTree(signed, ORIGIN_KEY).value;
  opened.set(signed, known);
  return known;
}

function words(tree: Tree | undefined): string {
  if (tree === undefined) return 'nothing';
  const { line, epoch, sequence, base, quorum } = tree;
  return `event ${sequence} of epoch ${epoch} in line ${line} (base ${base}, quorum ${quorum})`;
}
