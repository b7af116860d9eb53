import { ETYPES } from '../../src/domain/event.js';
import { policiesInPlay } from '../../src/domain/reading.js';
import { totalWeight, weightOf, type Policy } from '../../src/domain/replication.js';
import { toHex } from '../../src/infra/crypto/bytes.js';
import { compareRank, type Tree } from '../../src/infra/offgrid/protocol/tree.js';
import type { SimCore } from './core.js';
import type { History } from './histories.js';
import { hasLeaf, isWhole } from './host-disk.js';
import type { SimHost } from './host.js';
import { check, treeOf } from './invariants.js';
import { recover, type Recovery } from './recovery.js';
import type { Troubles } from './troubles.js';
import type { World } from './world.js';

/**
 * How a seed ends. CONVERGED: a restore, its core and all honest hosts reached one history. HOLED: the same without an
 * event that no host had any more, as a second restore found. NOTHING: no host has any history. STUCK: the honest hosts
 * alone cannot meet a policy, or some event is nowhere intact. UNDECLARED: there are dishonest hosts that were not
 * declared, and the restore was refused for that. SPARED: only events at the end, which were not at quorum, were lost
 * everywhere, so that no loss had to be accepted.
 */
export type Ending = 'CONVERGED' | 'HOLED' | 'NOTHING' | 'STUCK' | 'UNDECLARED' | 'SPARED';

/** Within this everything must be right once nothing fails any more, in milliseconds. */
const DEADLINE_MS = 1_800_000;
/** Within this everything in transit has arrived, in milliseconds. */
const LATE_MS = 60_000;
/** How many times the core is started after the restore. */
const LIVES = 2;
/**
 * How often a core runs so long that it asks hosts for events that they have signed for; and how long that is, in
 * milliseconds.
 */
const AUDITED = 0.1;
const AUDIT_MS = 1_000_000;
/** How often an event is lost at every host at the end. */
const LOSS = 0.1;
/** How often an operator begins a line because another one is in the way. */
const MAX_LINES = 8;

/**
 * Faults stop, dishonest hosts continue: a restore, its core and all honest hosts must reach one history.
 * @throws Violation
 */
export async function end(world: World, troubles: Troubles): Promise<Ending> {
  calm(world);
  const { invariants, random } = world;
  // What is in transit may arrive while hosts are read, or before.
  if (random.chance(0.5)) await rest(world);
  const reached = bestOf(world);
  if (reached === undefined) return 'NOTHING';
  if (!canGoOn(world, reached.history, reached.quorum) || !isKept(world, reached.history)) return 'STUCK';
  if (random.chance(LOSS) && loseOne(world, reached.history)) return endWithout(world, troubles, reached);
  const recovery = await restored(world, troubles);
  if (recovery.is === 'REFUSED') {
    check(invariants.isExcused || world.family === 'F2', () => `a restore from all hosts is refused: ${recovery.why}`);
    return 'UNDECLARED';
  }
  let { core } = recovery;
  if (!canGoOn(world, core.log.history(), bestOf(world)?.quorum ?? 0)) return 'STUCK';
  // Beyond the condition of the promise, what was read may be older than what hosts have.
  if (world.family === 'F2') return 'UNDECLARED';
  core.start();
  await world.run(LATE_MS, () => core.halted !== undefined);
  if (core.halted !== undefined) {
    // What was in transit when the hosts were read has arrived since: the operator restores again.
    world.lose(core);
    await rest(world);
    const again = await restored(world, troubles);
    check(again.is === 'RESTORED', () => `a second restore from all hosts is refused: ${JSON.stringify(again)}`);
    if (again.is === 'RESTORED') ({ core } = again);
  }
  for (let life = 0; life < LIVES; life += 1) {
    core.start();
    if (life > 0) core.append({ type: 'MissionCreated', data: { missionId: `last${life}`, title: '' } });
    const isLast = life + 1 === LIVES;
    if (isLast) for (const host of honestHosts(world)) await within(world, host.scrub());
    await settle(world, core, { mayBeginLine: mayChoose(world, troubles), isWhole: isLast });
    if (isLast && random.chance(AUDITED)) await world.run(AUDIT_MS);
    core.kill();
  }
  return 'CONVERGED';
}

/**
 * An operator accepts that an event is lost: all reach one history without it, which reads as such.
 * @throws Violation
 */
async function endWithout(world: World, troubles: Troubles, reached: Reached): Promise<Ending> {
  const hosts = world.hosts.filter(({ isGone }) => !isGone);
  const wanted = wantedOf(honestHosts(world), world.dishonest);
  const read = (more: { readonly acceptLoss?: boolean; readonly history?: string }) =>
    within(world, recover(world, { hosts, wanted, ...more }));
  const whole = await read({});
  if (whole.is === 'RESTORED') return 'SPARED';
  const any = await read({ acceptLoss: true });
  // What was in transit has arrived meanwhile.
  const { tree } = bestOf(world) ?? reached;
  const history = toHex(tree.root).slice(0, 16);
  const lossy = any.is === 'RESTORED' ? any : await read({ acceptLoss: true, history });
  check(lossy.is === 'RESTORED', () => `a loss cannot be accepted: ${JSON.stringify(lossy)}`);
  if (lossy.is !== 'RESTORED') return 'STUCK';
  // Dishonest hosts have shown less than exists, and a restore succeeded that should not have.
  if (world.family === 'F2' && !lossy.isLossy) return 'UNDECLARED';
  const { core } = lossy;
  core.start();
  await settle(world, core, { mayBeginLine: true, isWhole: false });
  core.kill();
  const again = await read({});
  if (troubles.counts.lines + troubles.counts.accepted === 0 || again.is === 'RESTORED')
    check(
      again.is === 'RESTORED' && again.core.log.history() === core.log.history(),
      () =>
        `what was read with holes is not read again: ${JSON.stringify(again.is === 'REFUSED' ? again : again.core.log.length)}`,
    );
  return 'HOLED';
}

/**
 * Takes the content of one event from every host. Not for a key event, without which nothing after it opens, and not
 * where the event's leaf is damaged somewhere: that host could not be mended.
 * @returns whether it did
 */
function loseOne(world: World, history: History): boolean {
  const { random, histories } = world;
  const sequence = random.between(1, histories.lengthOf(history));
  const rows = world.hosts.flatMap(({ disk }) => {
    const { head = [], staged = [] } = disk.state?.rows ?? {};
    return [head[sequence - 1] ?? [], staged[sequence - 1] ?? []].flat();
  });
  if (!rows.every((row) => hasLeaf(row) && row.etype !== ETYPES.KeyRotated)) return false;
  for (const { disk } of world.hosts) disk.rot(sequence, (row) => ({ ...row, sealed: new Uint8Array() }));
  return true;
}

function calm(world: World): void {
  world.network.calm();
  world.note(() => 'calm');
  Object.assign(world.faults, { journal: 0, late: 0, death: 0 });
  for (const core of [...world.cores]) world.lose(core);
  for (const host of world.hosts) {
    Object.assign(host.disk.faults, { isFull: false, failure: 0, maxDelayMs: 5 });
    host.start();
  }
}

/** Waits until nothing is in transit any more. */
async function rest(world: World): Promise<void> {
  await world.run(LATE_MS);
  world.isCalm = true;
}

/** Whether there may be two histories, of which an operator decides which continues. */
function mayChoose({ invariants }: World, { counts }: Troubles): boolean {
  return invariants.isCloned || counts.lines + counts.accepted > 0;
}

/** Restores from every host that exists; where several lines are shown, an operator chooses. */
async function restored(world: World, troubles: Troubles): Promise<Recovery> {
  const hosts = world.hosts.filter(({ isGone }) => !isGone);
  const wanted = wantedOf(honestHosts(world), world.dishonest);
  const recovery = await within(world, recover(world, { hosts, wanted }));
  if (recovery.is === 'RESTORED' || !mayChoose(world, troubles)) return recovery;
  if (troubles.counts.lines + troubles.counts.accepted === 0)
    check(isForked(world), () => `a restore is refused though hosts show one history: ${recovery.why}`);
  const best = bestOf(world);
  const history = best && toHex(best.tree.root).slice(0, 16);
  return within(
    world,
    recover(world, { hosts, wanted, acceptLoss: true, ...(history === undefined ? {} : { history }) }),
  );
}

/** Whether two processes under one name have continued differently, and honest hosts show both. */
function isForked(world: World): boolean {
  const { histories } = world;
  const heads = honestHeads(world);
  return heads.some((a) =>
    heads.some((b) => {
      const [x, y] = [histories.ofRoot(a.root), histories.ofRoot(b.root)];
      return a.epoch === b.epoch && a.line === b.line && !histories.has(x, y) && !histories.has(y, x);
    }),
  );
}

/** The result of a promise, as time passes. */
async function within<T>(world: World, promise: Promise<T>): Promise<T> {
  let outcome: { readonly value: T } | undefined;
  promise.then(
    (value) => {
      outcome = { value };
    },
    (error: unknown) => {
      world.fail(error);
    },
  );
  await world.run(DEADLINE_MS, () => outcome !== undefined);
  check(outcome !== undefined, () => 'a restore never ends');
  return outcome!.value;
}

/** The conditions at the end. */
interface Settling {
  /** Whether the core may have to begin a line. */
  readonly mayBeginLine: boolean;
  /** Whether everything that was damaged must be intact again, too. */
  readonly isWhole: boolean;
}

/** Waits until the core and all honest hosts have one history, at quorum. */
async function settle(world: World, core: SimCore, { mayBeginLine, isWhole }: Settling): Promise<void> {
  let lines = 0;
  for (;;) {
    await world.run(DEADLINE_MS, () => core.halted !== undefined || hasSettled(world, core, isWhole));
    const { halted } = core;
    if (halted === undefined) break;
    // Another line is shown: the operator wants this one nevertheless.
    const isLine = halted.message.includes('begin-line') && mayBeginLine && lines < MAX_LINES;
    check(isLine, () => `the restored core stops: ${halted.code} ${halted.message}`);
    lines += 1;
    await within(world, core.beginLine());
  }
  check(hasSettled(world, core, isWhole), () => `cores and hosts do not reach one history: ${describe(world, core)}`);
}

function hasSettled(world: World, core: SimCore, isWholeAgain: boolean): boolean {
  const { head, quorum, policies, hosts, isRestored, nextLine } = core.state;
  const newest = policies.at(-1)?.policy;
  if (newest === undefined || head !== quorum || isRestored || nextLine !== undefined) return false;
  if (head !== core.log.length || core.replicator?.writer.isElected !== true) return false;
  return newest.hosts.every(({ host: id }) => {
    const host = world.hosts.find(({ identity }) => identity.id === id);
    if (host === undefined || host.isFaulty || host.isGone) return true;
    const isServed = (hosts.get(id)?.state ?? 'ACTIVE') === 'ACTIVE';
    return isServed && world.invariants.has(host, core.log.history()) && (!isWholeAgain || isMended(host, core));
  });
}

/** Whether a host has its events intact, except holes, whose content no host has. */
function isMended({ disk }: SimHost, { state }: SimCore): boolean {
  const rows = disk.state?.rows.head ?? [];
  return rows.every((row, i) => state.holes.has(i + 1) || (isWhole(row) && !row.isDamaged));
}

function honestHosts({ hosts }: World): readonly SimHost[] {
  return hosts.filter((host) => !host.isFaulty && !host.isGone);
}

/** The trees of the honest hosts' heads. */
function honestHeads(world: World): readonly Tree[] {
  return honestHosts(world).flatMap(({ disk }) => treeOf(disk.state?.head ?? null) ?? []);
}

/** A head, and how much of it is known to be at quorum. */
interface Reached {
  readonly tree: Tree;
  readonly history: History;
  readonly quorum: number;
}

/** The highest head of the honest hosts, and how much of it they know to be at quorum. */
function bestOf(world: World): Reached | undefined {
  const trees = honestHeads(world);
  const [first] = trees;
  if (first === undefined) return undefined;
  const tree = trees.reduce((a, b) => (compareRank(b, a) > 0 ? b : a), first);
  const quorums = trees.filter((one) => one.line === tree.line).map((one) => one.quorum);
  return { tree, history: world.histories.ofRoot(tree.root), quorum: Math.max(...quorums) };
}

/** Whether the honest hosts meet every policy in play without the others. */
function canGoOn(world: World, history: History, quorum: number): boolean {
  const some = new Set(honestHosts(world).map(({ identity }) => identity.id));
  return policiesInPlay(world.histories.policiesOf(history), quorum).every(({ policy }) =>
    isEnough(policy, some, world.dishonest),
  );
}

function isEnough(policy: Policy, some: ReadonlySet<string>, dishonest: number): boolean {
  const weight = weightOf(policy, some);
  return weight - dishonest > totalWeight(policy) - policy.required && weight >= policy.required;
}

/** Whether each event of a history is intact at an honest host. */
function isKept(world: World, history: History): boolean {
  const length = world.histories.lengthOf(history);
  return Array.from({ length }, (_, i) => i).every((i) =>
    honestHosts(world).some(({ disk }) => {
      const { head = null, rows } = disk.state ?? {};
      const tree = treeOf(head);
      const row = rows?.head[i];
      const isOfIt =
        tree !== undefined &&
        world.histories.has(world.histories.ofRoot(tree.root), world.histories.first(history, i + 1));
      return isOfIt && row !== undefined && isWhole(row);
    }),
  );
}

function wantedOf(hosts: readonly SimHost[], dishonest: number) {
  const wanted = hosts.map(({ url, traits }) => ({ url, weight: traits.weight }));
  const weight = wanted.reduce((sum, host) => sum + host.weight, 0);
  return { hosts: wanted, required: Math.min(weight, Math.max(Math.floor(weight / 2) + 1, dishonest + 1)) };
}

function describe(world: World, core: SimCore): string {
  const { head, quorum, policies, hosts, isRestored } = core.state;
  const { epoch = 0, isElected = false } = core.replicator?.writer ?? {};
  const at = world.hosts.map(({ url, identity, disk }) => {
    const { lastError, failures } = core.replicator?.contactOf(identity.id) ?? {};
    const tree = treeOf(disk.state?.head ?? null);
    return `${url} ${hosts.get(identity.id)?.state ?? ''} ${tree?.epoch ?? 0}/${tree?.sequence ?? 0} ${failures ?? 0} ${lastError ?? ''}`;
  });
  const inPlay = policies.map(({ policy, sequence }) => `${policy.version}@${sequence}: ${policy.required}`);
  return JSON.stringify({ head, quorum, epoch, isElected, isRestored, inPlay, at });
}
