import pLimit from 'p-limit';
import { backoffMs } from '../../../domain/backoff.js';
import { decideElection, decideMeeting, type Grantor, type Outcome } from '../../../domain/election.js';
import { isServed, versionInForce, type ReplicasAcknowledged } from '../../../domain/replication.js';
import { type HaltReason, type WriterRecord } from '../../../domain/writer.js';
import type { Time } from '../../platform/clock.js';
import { FailureLog } from '../../platform/failure-log.js';
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

/** A host that has failed this often since an epoch was claimed counts as unable to answer. */
const MAX_FAILURES = 3;
/** How long to wait after a claim of another log, in milliseconds: one of the two must get to ship. */
const OTHER_LOG_MS = 10_000;
/** How long to wait after a failure of the disk, or for a line that is to be begun, in milliseconds. */
const RETRY_MS = 1_000;

/** Dependencies of a writer. */
export interface WriterDependencies {
  readonly origin: string;
  readonly logId: string;
  readonly store: WriterStore;
  readonly journal: Journal;
  readonly history: LocalHistory;
  /** The known state of the log. */
  readonly state: () => ReplicationState;
  /** The state once everything now in the log is known. @throws Error when that takes too long */
  readonly latest: () => Promise<ReplicationState>;
  /** The weight of hosts that may be dishonest, as this core is configured. */
  readonly dishonestWeight: number;
  readonly newWriterId: () => string;
  readonly time: Time;
  readonly logger: Logger;
}

/**
 * One process of a core as a writer. It claims an epoch of its own; what it ships counts once so many hosts have granted the
 * epoch, and have shown nothing newer than its log, that everything that was at quorum must be on the log. Another process's
 * claim makes it claim again; only a history that the origin has signed, and that is not on the log, halts it.
 */
export class Writer {
  /** Epochs that this process has claimed, and hosts that its elections have left out. */
  readonly counts = { epochs: 0, leftOut: 0 };
  readonly #dependencies: WriterDependencies;
  /** How many events the log had when the process began. */
  readonly #length: number;
  readonly #changed = new Nudge();
  /** One change at a time: each is decided on the result of the one before. */
  readonly #inTurn = pLimit(1);
  readonly #granted = new Map<string, GoodHead>();
  /** How often each host has failed since the epoch was claimed; MAX_FAILURES for one that refused the claim. */
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
  /** Hosts that have granted the epoch, but do not count in its election. */
  #strange: ReadonlySet<string> = new Set();
  /** Epochs that ended since a head was last counted. */
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

  /** The claimed epoch; 0 between two epochs. */
  get epoch(): number {
    return this.#waitMs === undefined ? (this.#record?.epoch ?? 0) : 0;
  }

  /** The line of the log when the epoch was claimed: nothing is signed in another line. */
  get line(): number {
    return this.#line;
  }

  /** The name of this process in claims and trees: a new one with each epoch. */
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

  /** How many events this process may state to have been at quorum. */
  get signable(): number {
    return this.#signable;
  }

  /** Why it no longer writes; undefined while it may. */
  get halted(): HaltReason | undefined {
    return this.#record?.stopped;
  }

  /** The hosts that have granted the epoch, with what they have shown. */
  get granted(): ReadonlyMap<string, GoodHead> {
    return this.#granted;
  }

  /** The hosts in `granted` that count in the election. */
  get grantors(): ReadonlySet<string> {
    return new Set([...this.#granted.keys()].filter((host) => !this.#strange.has(host)));
  }

  /** The highest line that any host has shown to this process; 0 before one has. */
  get sawLine(): number {
    return this.#sawLine;
  }

  /** Resolves when something has changed, or the signal aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return this.#changed.wait(signal);
  }

  /** Claims an epoch whenever one is due. */
  async run(signal: AbortSignal): Promise<void> {
    const { time, logger } = this.#dependencies;
    const failures = new FailureLog(logger, 'no epoch can be claimed');
    while (!signal.aborted) {
      if (this.#waitMs === undefined || this.halted !== undefined) {
        await this.#changed.wait(signal);
        continue;
      }
      await time.sleep(this.#waitMs, signal);
      if (signal.aborted) return;
      try {
        await this.#inTurn(() => this.#begin());
        failures.succeeded();
      } catch (error) {
        failures.failed(error);
        await time.sleep(RETRY_MS, signal);
      }
    }
  }

  /** A host has granted the claim of an epoch, or has shown another head since. */
  heard(host: string, epoch: number, head: GoodHead): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#isCurrent(epoch)) return;
      this.#granted.set(host, head);
      this.#failures.delete(host);
      await this.#meet(host, head);
      await this.#elect();
    });
  }

  /** A claim, or a later request, failed at a host. @param isAnswer whether the host has answered with a refusal */
  failed(host: string, epoch: number, isAnswer: boolean): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#isCurrent(epoch) || this.isElected) return;
      this.#failures.set(host, isAnswer ? MAX_FAILURES : (this.#failures.get(host) ?? 0) + 1);
      await this.#elect();
    });
  }

  /** A host no longer counts, or must grant the claim again. */
  forget(host: string): void {
    this.#granted.delete(host);
  }

  /** A host has refused with a tree of this origin. */
  refused(host: string, epoch: number, tree: Tree): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#isCurrent(epoch)) await this.#meetTree(host, tree, 'head');
    });
  }

  /** A host has granted another claim of this origin. Resolves false when it has no effect: it is older, or the own claim. */
  fenced(epoch: number, by: Claim): Promise<boolean> {
    return this.#inTurn(async () => {
      if (!this.#isCurrent(epoch)) return true;
      if (by.epoch < epoch || (by.epoch === epoch && by.writer === this.#id)) return false;
      const isOtherLog = logOf(by.writer) !== this.#dependencies.logId;
      const { isRestored } = await this.#dependencies.latest();
      this.#dependencies.logger.info(
        `a host has granted epoch ${by.epoch} to ${isOtherLog ? 'a core with another log' : 'another process of this log'}: claiming a higher epoch`,
      );
      this.#end(by.epoch, isOtherLog && !isRestored ? OTHER_LOG_MS : 0);
      return true;
    });
  }

  /** Applies the line of the log: when the epoch is of another, or a line is to be begun, the process claims again. */
  ofLine(state: Pick<ReplicationState, 'line' | 'nextLine'>): Promise<void> {
    return this.#inTurn(() => {
      if (this.#isCurrent(this.epoch) && !this.#isOfLine(state)) this.#end(0);
    });
  }

  /** A head was counted, and it is durably recorded that the first `quorum` events are at quorum. */
  counted(epoch: number, quorum: number): void {
    if (!this.#isCurrent(epoch)) return;
    this.#ended = 0;
    if (quorum <= this.#signable) return;
    this.#signable = quorum;
    this.#changed.notify();
  }

  /** Clears the reason why it was halted: it claims again, and its log is checked again. */
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

  /** Ends the epoch. The next one begins above `seen`, after a wait of at least `leastMs`. */
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
        `host ${by} shows event ${shown.sequence} of epoch ${shown.epoch}: those of its events that this restored log does not have were never at quorum, and the host sets them aside as evidence`,
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
    // An epoch must not end on a state that may be outdated.
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
    // What hinders the epoch does not hinder a line that was begun meanwhile.
    if (!this.#isOfLine(state)) return;
    const code = stop.news === 'FORKED' ? 'FORKED' : 'BEHIND';
    const line = this.#sawLine === 0 ? {} : { line: this.#sawLine };
    await this.#halt({ code, message: haltMessage(stop, state), ...line });
  }

  /** Halts the writer until an operator resumes it. */
  async #halt(stopped: HaltReason): Promise<void> {
    const { logId, store } = this.#dependencies;
    const record = { logId, epoch: this.#record?.epoch ?? this.epoch, stopped };
    // It must write no more, even if the record cannot be saved.
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
