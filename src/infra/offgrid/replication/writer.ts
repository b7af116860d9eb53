import pLimit from 'p-limit';
import { backoffMs } from '../../../domain/backoff.js';
import { decideElection, decideMeeting, type Grantor, type Outcome } from '../../../domain/election.js';
import { isServed, versionInForce, type ReplicasAcknowledged } from '../../../domain/replication.js';
import { type HaltReason, type WriterRecord } from '../../../domain/writer.js';
import type { Time } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { Nudge } from '../../platform/nudge.js';
import type { Claim } from '../protocol/claim.js';
import { NOT_ELECTED } from '../protocol/fields.js';
import type { Tree } from '../protocol/tree.js';
import type { GoodHead } from '../protocol/verify-head.js';
import { haltMessage, type Stop } from './halt-message.js';
import { ownHistoryOf, type LocalHistory } from './local-history.js';
import type { Journal } from './ports.js';
import { policyAgain, type ReplicationState, type WriterStore } from './replication-state.js';

/** A host that came to nothing so often since an epoch was claimed cannot answer. */
const MAX_FAILURES = 3;
/** How long a claim of another log is left, in milliseconds: one of the two must get to ship. */
const OTHER_LOG_MS = 10_000;
/** How long a failure of the disk is left, or a line waited for that is to be begun, in milliseconds. */
const RETRY_MS = 1_000;

/** What a writer stands on. */
export interface WriterDependencies {
  readonly origin: string;
  readonly logId: string;
  readonly store: WriterStore;
  readonly journal: Journal;
  readonly history: LocalHistory;
  /** What is known of the log. */
  readonly state: () => ReplicationState;
  /** What the log says, once all is known that is in it. @throws Error when that takes too long */
  readonly latest: () => Promise<ReplicationState>;
  /** The weight of hosts that may lie, as this core was told. */
  readonly dishonestWeight: number;
  readonly newWriterId: () => string;
  readonly time: Time;
  readonly logger: Logger;
}

/**
 * One process of a core as a writer. It claims an epoch of its own; what it ships counts once so many hosts have granted the
 * epoch, and shown that nothing newer than its log exists, that whatever was at quorum is on the log. A claim of another
 * makes it claim again; only a history that the origin has signed, and that is not on the log, stops it.
 */
export class Writer {
  /** Epochs that this process has claimed, and hosts that its elections have left out. */
  readonly counts = { epochs: 0, leftOut: 0 };
  readonly #dependencies: WriterDependencies;
  /** How many events the log had when the process began. */
  readonly #length: number;
  readonly #changed = new Nudge();
  /** One change at a time: each is decided on what the one before has left. */
  readonly #inTurn = pLimit(1);
  readonly #granted = new Map<string, GoodHead>();
  /** Hosts that have refused the claim, or failed so often. */
  readonly #failures = new Map<string, number>();
  #record: WriterRecord | undefined;
  #id = '';
  #base = NOT_ELECTED;
  #signable = 0;
  /** The line of the log when the epoch was claimed. */
  #line = 1;
  /** How long until the next epoch, in milliseconds; undefined while there is one. */
  #waitMs: number | undefined = 0;
  #seen = 0;
  #sawLine = 0;
  /** Hosts that have granted the epoch, and count for nothing in its election. */
  #strange: ReadonlySet<string> = new Set();
  /** Epochs that ended since something was counted. */
  #ended = 0;

  private constructor(dependencies: WriterDependencies, length: number, record: WriterRecord | undefined) {
    this.#dependencies = dependencies;
    this.#length = length;
    this.#record = record;
  }

  /** @param length how many events the log has @throws Error when the record is damaged */
  static async open(dependencies: WriterDependencies, length: number): Promise<Writer> {
    const record = await dependencies.store.load();
    return new Writer(dependencies, length, record?.logId === dependencies.logId ? record : undefined);
  }

  /** The epoch that is claimed; 0 between two. */
  get epoch(): number {
    return this.#waitMs === undefined ? (this.#record?.epoch ?? 0) : 0;
  }

  /** The line of the log when the epoch was claimed: nothing is signed in another. */
  get line(): number {
    return this.#line;
  }

  /** What this process is called in claims and trees: another with each epoch. */
  get id(): string {
    return this.#id;
  }

  /** How many events the epoch was elected on; NOT_ELECTED before. */
  get base(): number {
    return this.#base;
  }

  get isElected(): boolean {
    return this.#base !== NOT_ELECTED;
  }

  /** How many events this process may say were at quorum. */
  get signable(): number {
    return this.#signable;
  }

  /** Why it writes no more. */
  get halted(): HaltReason | undefined {
    return this.#record?.stopped;
  }

  /** The hosts that have granted the epoch, with what they have shown. */
  get granted(): ReadonlyMap<string, GoodHead> {
    return this.#granted;
  }

  /** Those of them that count in its election. */
  get grantors(): ReadonlySet<string> {
    return new Set([...this.#granted.keys()].filter((host) => !this.#strange.has(host)));
  }

  /** The highest line that any host has shown to this process; 0 before one has. */
  get sawLine(): number {
    return this.#sawLine;
  }

  /** Resolves when something has changed, or the signal comes. */
  changed(signal: AbortSignal): Promise<void> {
    return this.#changed.wait(signal);
  }

  /** Claims an epoch whenever one is due. */
  async run(signal: AbortSignal): Promise<void> {
    const { time, logger } = this.#dependencies;
    while (!signal.aborted) {
      if (this.#waitMs === undefined || this.halted !== undefined) {
        await this.#changed.wait(signal);
        continue;
      }
      await time.sleep(this.#waitMs, signal);
      if (signal.aborted) return;
      try {
        await this.#inTurn(() => this.#begin());
      } catch (error) {
        logger.error({ err: error }, 'no epoch can be claimed; trying again');
        await time.sleep(RETRY_MS, signal);
      }
    }
  }

  /** A host has granted the claim of an epoch, or shows another head since. */
  heard(host: string, epoch: number, head: GoodHead): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#isCurrent(epoch)) return;
      this.#granted.set(host, head);
      this.#failures.delete(host);
      await this.#meet(host, head);
      await this.#elect();
    });
  }

  /** A claim, or what follows it, came to nothing at a host. */
  failed(host: string, epoch: number, isAnswer: boolean): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#isCurrent(epoch) || this.isElected) return;
      this.#failures.set(host, isAnswer ? MAX_FAILURES : (this.#failures.get(host) ?? 0) + 1);
      await this.#elect();
    });
  }

  /** A host counts for nothing any more, or must grant the claim again. */
  forget(host: string): void {
    this.#granted.delete(host);
  }

  /** A host refuses with a tree of this origin. */
  refused(host: string, epoch: number, tree: Tree): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#isCurrent(epoch)) await this.#meetTree(host, tree, 'head');
    });
  }

  /** A host has granted another claim of this origin. Resolves false when that is no answer: the claim is older, or the own one. */
  fenced(epoch: number, by: Claim): Promise<boolean> {
    return this.#inTurn(async () => {
      if (!this.#isCurrent(epoch)) return true;
      if (by.epoch < epoch || (by.epoch === epoch && by.writer === this.#id)) return false;
      const isOtherLog = logOf(by.writer) !== this.#dependencies.logId;
      const { isRestored } = await this.#dependencies.latest();
      this.#dependencies.logger.info(
        `a host has granted epoch ${by.epoch} to ${isOtherLog ? 'a core with another log' : 'another process of this log'}: claiming again, above it`,
      );
      this.#end(by.epoch, isOtherLog && !isRestored ? OTHER_LOG_MS : 0);
      return true;
    });
  }

  /** What the log says is of this line: in another, or one that is to be begun, the process claims again. */
  ofLine(state: Pick<ReplicationState, 'line' | 'nextLine'>): Promise<void> {
    return this.#inTurn(() => {
      if (this.#isCurrent(this.epoch) && !this.#isOfLine(state)) this.#end(0);
    });
  }

  /** A head was counted, and so many events are known to be at quorum, durably. */
  counted(epoch: number, quorum: number): void {
    if (!this.#isCurrent(epoch)) return;
    this.#ended = 0;
    if (quorum <= this.#signable) return;
    this.#signable = quorum;
    this.#changed.notify();
  }

  /** Forgets why it was stopped: it claims again, and is judged again. */
  resume(): Promise<void> {
    return this.#inTurn(async () => {
      const { logId, store } = this.#dependencies;
      if (this.#record?.stopped === undefined) return;
      await this.#save({ logId, epoch: this.#record.epoch }, store);
      this.#end(0);
    });
  }

  /** Whether the epoch is of the log's line. */
  #isOfLine({ line, nextLine }: Pick<ReplicationState, 'line' | 'nextLine'>): boolean {
    return (nextLine ?? line) === this.#line;
  }

  #isCurrent(epoch: number): boolean {
    return epoch !== 0 && epoch === this.epoch && this.halted === undefined;
  }

  async #begin(): Promise<void> {
    const { logId, store, newWriterId, latest } = this.#dependencies;
    const { elected, quorum, quorumEpoch, line, nextLine } = await latest();
    if (nextLine !== undefined) {
      this.#waitMs = RETRY_MS;
      return;
    }
    const epoch = 1 + Math.max(this.#record?.epoch ?? 0, elected?.epoch ?? 0, quorumEpoch, this.#seen);
    await this.#save({ logId, epoch }, store);
    this.#id = `${logId}:${newWriterId()}`;
    this.#granted.clear();
    this.#strange = new Set();
    this.#failures.clear();
    this.#base = NOT_ELECTED;
    this.#signable = quorum;
    this.#line = line;
    this.#waitMs = undefined;
    this.counts.epochs += 1;
    this.#changed.notify();
  }

  /** The epoch is over; the next begins above what was seen, after a while. */
  #end(seen: number, leastMs = 0): void {
    const { time } = this.#dependencies;
    this.#seen = Math.max(this.#seen, seen);
    this.#ended += 1;
    this.#base = NOT_ELECTED;
    this.#granted.clear();
    this.#waitMs = Math.max(leastMs, backoffMs(this.#ended, time.random()));
    this.#changed.notify();
  }

  async #elect(): Promise<void> {
    const { epoch } = this;
    if (!this.#isCurrent(epoch) || this.isElected) return;
    const { latest, history, dishonestWeight } = this.#dependencies;
    const state = await latest();
    if (!this.#isOfLine(state)) return;
    const granted = new Map<string, Grantor>();
    for (const [host, { tree, staged }] of this.#granted) {
      if (!isServed(state.hosts.get(host)?.state ?? 'ACTIVE')) continue;
      granted.set(host, {
        tree: tree && (await history.shown(tree.value)),
        staged: staged && (await history.shown(staged.value)),
      });
    }
    const outcome = decideElection({
      own: ownHistoryOf(state, this.#length),
      policies: state.policies.map(({ policy }) => policy),
      granted,
      dishonest: Math.max(dishonestWeight, state.dishonestWeight),
      epoch,
      signable: this.#signable,
      isEveryHostHeard: this.#isEveryHostHeard(state),
    });
    if (outcome.is === 'STOPPED') return this.#stopFor(outcome);
    this.#strange = new Set(outcome.leftOut.map(({ by }) => by));
    if (outcome.is === 'ELECTED') await this.#won(state, outcome);
  }

  async #won(state: ReplicationState, outcome: Extract<Outcome, { is: 'ELECTED' }>): Promise<void> {
    const { origin, journal, logger } = this.#dependencies;
    const { epoch } = this;
    const { base, quorum, quorumEpoch = state.quorumEpoch, signable, leftOut } = outcome;
    const { line } = state;
    const elected: ReplicasAcknowledged = {
      type: 'ReplicasAcknowledged',
      data: {
        ...{ origin, policyVersion: versionInForce(state.policies, quorum), writerEpoch: epoch, line, hosts: [] },
        ...{ quorumSequence: quorum, quorumEpoch, elected: { line, epoch, base } },
      },
    };
    await journal.record([...(state.isRestored ? policyAgain(state, origin) : []), elected]);
    for (const { by, shown } of leftOut)
      logger.warn(
        `host ${by} shows event ${shown.sequence} of epoch ${shown.epoch}: what this restored log does not have of that was never at quorum, and is set aside there, as evidence`,
      );
    this.#base = base;
    this.#signable = signable;
    this.counts.leftOut += leftOut.length;
    logger.info(`elected in epoch ${epoch}, on ${base} events`);
    this.#changed.notify();
    for (const [host, head] of [...this.#granted]) await this.#meet(host, head);
  }

  async #meet(host: string, { tree, staged }: GoodHead): Promise<void> {
    for (const opened of [tree, staged]) this.#sawLine = Math.max(this.#sawLine, opened?.value.line ?? 0);
    if (tree !== null) await this.#meetTree(host, tree.value, 'head');
    if (staged !== null) await this.#meetTree(host, staged.value, 'staged');
  }

  async #meetTree(host: string, tree: Tree, of: 'head' | 'staged'): Promise<void> {
    const { epoch } = this;
    this.#sawLine = Math.max(this.#sawLine, tree.line);
    if (!this.#isCurrent(epoch) || !this.isElected) return;
    const { state, latest, history, logger } = this.#dependencies;
    const decide = async (known: ReplicationState) => {
      const own = ownHistoryOf(known, this.#length);
      const shown = await history.shown(tree);
      return { shown, what: decideMeeting(shown, { own, epoch, writer: this.#id }, of) };
    };
    if ((await decide(state())).what === 'GO_ON') return;
    // Nothing is ended on what may be old.
    const { shown, what } = await decide(await latest());
    switch (what) {
      case 'GO_ON':
        return;
      case 'CLAIM_AGAIN':
        logger.info(
          `host ${host} shows event ${tree.sequence} of epoch ${tree.epoch}, which is not on this log: claiming again`,
        );
        this.#end(tree.epoch);
        return;
      default:
        await this.#stopFor({ news: what, by: host, shown });
    }
  }

  async #stopFor(stop: Stop): Promise<void> {
    const state = await this.#dependencies.latest();
    // Whatever is in the way of an epoch is not in the way of the line that was begun meanwhile.
    if (!this.#isOfLine(state)) return;
    const code = stop.news === 'FORKED' ? 'FORKED' : 'BEHIND';
    const line = this.#sawLine === 0 ? {} : { line: this.#sawLine };
    await this.#halt({ code, message: haltMessage(stop, state), ...line });
  }

  /** Ends it until an operator resumes it. */
  async #halt(stopped: HaltReason): Promise<void> {
    const { logId, store } = this.#dependencies;
    const record = { logId, epoch: this.#record?.epoch ?? this.epoch, stopped };
    // It writes no more, even when that cannot be kept.
    this.#record = record;
    this.#base = NOT_ELECTED;
    this.#changed.notify();
    await store.save(record);
  }

  async #save(record: WriterRecord, store: WriterStore): Promise<void> {
    await store.save(record);
    this.#record = record;
  }

  #isEveryHostHeard({ policies, hosts }: ReplicationState): boolean {
    const isHeard = (host: string) => this.#granted.has(host) || (this.#failures.get(host) ?? 0) >= MAX_FAILURES;
    const isDone = (host: string) => isHeard(host) || !isServed(hosts.get(host)?.state ?? 'ACTIVE');
    return policies.every(({ policy }) => policy.hosts.every(({ host }) => isDone(host)));
  }
}

function logOf(writer: string): string {
  return writer.slice(0, writer.indexOf(':'));
}
