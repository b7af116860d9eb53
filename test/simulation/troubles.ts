import { isWithout } from './controls.js';
import type { SimCore, CoreFolder } from './core.js';
import type { DiskState } from './host-disk.js';
import type { SimHost } from './host.js';
import { rotten } from './rot.js';
import { drill, recover } from './recovery.js';
import { Odds, type More, type Step } from './steps.js';
import type { World } from './world.js';

/** The most cores that run at the same time, and the most copies that are kept. */
const MAX_RUNNING = 2;
const MAX_COPIES = 6;
/**
 * How often a copy continues where it does not reach the hosts that the others reach, or while the first core reaches
 * none.
 */
const PARTED = 0.4;
const SILENT = 0.4;
/** How often two cores that write as one are parted once both were elected. */
const SPLIT = 0.5;
/** How often another operator begins a line at the same time. */
const TWIN_LINES = 0.4;

/** Applies the troubles of a seed to a world. */
export class Troubles {
  readonly counts = { steps: 0, restores: 0, refused: 0, accepted: 0, drills: 0, clones: 0, copies: 0, lines: 0 };
  readonly #world: World;
  readonly #odds: Odds;
  readonly #copies: CoreFolder[] = [];
  readonly #saved = new Map<SimHost, { readonly state: DiskState | undefined }[]>();
  readonly #mayPart: boolean;
  #isOver = false;
  /** Whether no core receives any command. */
  #isStill = false;
  #appended = 0;
  #restoring = 0;

  constructor(world: World, { isCalm = false, more = {} }: { readonly isCalm?: boolean; readonly more?: More }) {
    this.#world = world;
    this.#mayPart = more.part !== 0;
    this.#odds = new Odds(world.random, isCalm, more);
  }

  /** Whether there has been only one log, and nothing was made from it. */
  get isAlone(): boolean {
    const { restores, copies, clones, lines } = this.counts;
    return !this.#isOver && restores + copies + clones + lines === 0;
  }

  /** Begins, once something has been replicated, and returns how long it continues, in milliseconds. */
  begin(): number {
    const { random, cores, hosts } = this.#world;
    for (const core of cores) this.#copy(core);
    for (const host of hosts) if (host.isRolledBack) this.#saved.set(host, [{ state: host.disk.state }]);
    const paceMs = random.pick([100, 600, 2_000]);
    const steps = random.between(20, 60);
    this.#stepSoon(paceMs);
    return steps * paceMs;
  }

  /** Ends: nothing more is done. */
  end(): void {
    this.#isOver = true;
  }

  #stepSoon(paceMs: number): void {
    const { clock, random } = this.#world;
    clock.after(random.between(1, 2 * paceMs), () => {
      if (this.#isOver) return;
      this.#world.guard(() => {
        this.#step();
      });
      this.#stepSoon(paceMs);
    });
  }

  #step(): void {
    const { random, cores } = this.#world;
    this.counts.steps += 1;
    const running = cores.filter((core) => core.isUp);
    while (running.length > MAX_RUNNING) running.splice(random.between(0, running.length - 1), 1)[0]?.kill();
    const working = running.filter((core) => core.isWorking);
    if (working.length > 0) {
      this.#take(this.#odds.draw(), random.pick(working));
      return;
    }
    // Nothing continues automatically: an operator acts, one step after the other.
    const idle = cores.filter((core) => !core.isUp && core.halted === undefined);
    if (idle.length > 0 && random.chance(0.5)) random.pick(idle).start();
    else if (this.#restoring === 0)
      this.#restore(random.chance(0.1), cores.length > 0 ? random.pick(cores) : undefined);
  }

  #take(step: Step, core: SimCore): void {
    const { random, hosts, network, clock } = this.#world;
    const host = random.pick(hosts);
    if (step !== 'append') this.#world.note(() => `step ${step} ${core.name} ${host.url}`);
    switch (step) {
      case 'append':
        for (let i = random.between(1, 3); i > 0; i -= 1) this.#append(core);
        return;
      case 'crash':
        this.#crash(core);
        return;
      case 'stop':
        this.#stop(core);
        return;
      case 'hostDies':
        host.kill();
        clock.after(random.between(50, 12_000), () => {
          host.start();
        });
        return;
      case 'hostIsGone':
        if (hosts.filter(({ isGone }) => !isGone).length < 3) return;
        host.kill();
        host.isGone = true;
        return;
      case 'cut':
        network.cut(core.name, host, random.between(500, 15_000));
        return;
      case 'part':
        this.#part();
        return;
      case 'full':
        host.disk.faults.isFull = true;
        clock.after(random.between(500, 10_000), () => (host.disk.faults.isFull = false));
        return;
      case 'replay':
        network.replay(hosts, false);
        return;
      case 'forward':
        for (let i = 0; i < 3; i += 1) network.replay(hosts, true);
        return;
      case 'copy':
        this.#copy(core);
        return;
      case 'putBack':
        this.#putBack(core);
        return;
      case 'lease':
        this.#lease(core);
        return;
      case 'restore':
        this.#restore(false, core);
        return;
      case 'restoreWithLoss':
        this.#restore(true, core);
        return;
      case 'drill':
        this.#drill(core);
        return;
      case 'policy':
        this.#changePolicy(core);
        return;
      case 'beginLine':
        this.#beginLine(core);
        return;
      case 'rot':
        if (!host.isFaulty) rotten(host.disk, random);
        return;
      case 'scrub':
        void host.scrub().catch(() => undefined);
        return;
      case 'hurry': {
        core.replicator?.retry(host.identity.id);
        const done = core.replicator?.hurry();
        if (done !== undefined) clock.after(random.between(100, 10_000), done);
        return;
      }
      case 'ofFamily':
        this.#ofFamily(core);
        return;
    }
  }

  /** For a while no host is reached by more than one core. */
  #part(): void {
    const { random, cores, hosts, network } = this.#world;
    const running = cores.filter(({ isUp }) => isUp);
    const ms = random.between(1_000, 20_000);
    for (const host of hosts) {
      const reached = running.length > 1 || random.chance(0.5) ? random.pick(running) : undefined;
      for (const core of running) if (core !== reached) network.cut(core.name, host, ms);
    }
  }

  /** An older copy continues when it reaches only dishonest hosts, and a host that was down meanwhile. */
  #deceive(core: SimCore): void {
    const { random, clock, hosts, network } = this.#world;
    const behind = hosts.filter((host) => !host.isFaulty && host.isUp);
    if (behind.length === 0) return;
    const [one, before] = [random.pick(behind), core.folder()];
    one.kill();
    clock.after(random.between(2_000, 10_000), () => {
      one.start();
      if (this.#isOver) return;
      this.counts.copies += 1;
      core.kill();
      const copy = this.#world.newCore(before, core.wanted);
      for (const host of hosts)
        if (host !== one && !host.isFaulty) network.cut(copy.name, host, random.between(5_000, 20_000));
      this.#world.note(() => `${copy.name} deceives of ${core.name} with ${one.url}`);
      copy.start();
    });
  }

  /** A copy of a core has begun to continue: perhaps neither learns of the other soon. */
  #setApart(core: SimCore): void {
    if (!this.#mayPart) return;
    const { random, hosts, network } = this.#world;
    const dice = random.next();
    if (dice < PARTED || !core.isUp) this.#part();
    else if (dice < PARTED + SILENT)
      for (const host of hosts) network.cut(core.name, host, random.between(1_000, 20_000));
  }

  #append(core: SimCore): void {
    if (!core.isWorking || this.#isStill) return;
    this.#appended += 1;
    const title = 'x'.repeat(this.#world.random.pick([0, 100, 700]));
    core.append({ type: 'MissionCreated', data: { missionId: `m${this.#appended}`, title } });
  }

  #crash(core: SimCore): void {
    const { random } = this.#world;
    core.kill();
    if (random.chance(0.7)) this.#startSoon(core);
    else if (random.chance(0.5)) this.#world.lose(core);
  }

  /** An operator changes the configuration of one core, though another may be on its log. */
  #changePolicy(core: SimCore): void {
    core.wanted = this.#world.newPolicy();
    if (core.isUp) this.#restart(core);
  }

  #restart(core: SimCore): void {
    core.kill();
    this.#startSoon(core);
  }

  #startSoon(core: SimCore): void {
    const { random, clock, cores } = this.#world;
    clock.after(random.between(0, 4_000), () => {
      if (!this.#isOver && cores.includes(core)) core.start();
    });
  }

  /** Stops a core as an operator does. */
  #stop(core: SimCore): void {
    const { replicator } = core;
    void replicator?.stop().then(() => {
      if (core.replicator === replicator) this.#restart(core);
    });
  }

  /** Keeps a copy of a folder. A log without a policy does not know which hosts another uses: docs/threat-model.md. */
  #copy(core: SimCore): void {
    if (core.state.policies.length === 0) return;
    this.#copies.push(core.folder());
    if (this.#copies.length > MAX_COPIES) this.#copies.splice(this.#world.random.between(0, MAX_COPIES - 1), 1);
  }

  /** An older copy of a folder continues, perhaps torn, perhaps beside the core that it was taken from. */
  #putBack(core: SimCore): void {
    const { random } = this.#world;
    if (this.#copies.length === 0) return;
    this.counts.copies += 1;
    const now = core.folder();
    const { log, writer, frontiers } = random.pick(this.#worthPuttingBack(core));
    const others = [...this.#copies, now].filter((other) => other.log.logId === log.logId);
    // Torn: its log is of one moment, and its writer's record of another, or lost.
    const torn = random.chance(0.2) || others.length === 0 ? undefined : random.pick(others).writer;
    // Onto the machine of the core, with the deletable files as the core has left them; or onto another machine.
    const left = log.logId === now.log.logId && random.chance(0.5) ? now.frontiers : frontiers?.copy();
    const folder = { log: log.copy(), writer: random.chance(0.4) ? torn : writer, ...(left && { frontiers: left }) };
    const copy = this.#world.newCore(folder, core.wanted);
    if (isWithout('epochOfProcess')) copy.resumeAs(core);
    if (random.chance(0.5)) core.kill();
    copy.start();
    this.#setApart(core);
  }

  /** Copies that lack something of a core's quorum, if any: most copies continue from everything that counts. */
  #worthPuttingBack(core: SimCore): readonly CoreFolder[] {
    const { quorum } = core.state;
    const short = this.#copies.filter(({ log }) => log.logId === core.log.logId && log.length < quorum);
    return short.length > 0 && this.#world.random.chance(0.7) ? short : this.#copies;
  }

  /** Another core takes the log over; the first runs on for a while. */
  #lease(core: SimCore): void {
    const { random, clock } = this.#world;
    this.counts.copies += 1;
    const writer = random.chance(0.5) ? undefined : core.writer;
    const next = this.#world.newCore({ log: core.log, writer }, core.wanted);
    next.start();
    clock.after(random.between(0, 15_000), () => {
      this.#world.lose(core);
    });
  }

  #restore(acceptLoss: boolean, core: SimCore | undefined): void {
    const world = this.#world;
    const { random } = world;
    const hosts = world.hosts.filter((host) => host.isUp && random.chance(0.85));
    this.counts.restores += 1;
    this.#restoring += 1;
    const wanted = core?.wanted ?? world.newPolicy();
    recover(world, { hosts, acceptLoss, wanted }).then(
      (recovery) => {
        this.#restoring -= 1;
        if (recovery.is === 'REFUSED') this.counts.refused += 1;
        else if (recovery.isLossy) this.counts.accepted += 1;
        if (recovery.is === 'REFUSED' || this.#isOver) return;
        recovery.core.start();
        // An operator who restores believes that the old core is lost: it is, or it is not.
        if (random.chance(0.5))
          for (const other of world.cores) if (other !== recovery.core && random.chance(0.7)) other.kill();
      },
      (error: unknown) => {
        world.fail(error);
      },
    );
  }

  #drill(core: SimCore): void {
    const world = this.#world;
    const hosts = world.hosts.filter((host) => host.isUp);
    drill(world, core, hosts, () => this.isAlone).then(
      (isGreen) => {
        if (isGreen) this.counts.drills += 1;
      },
      (error: unknown) => {
        world.fail(error);
      },
    );
  }

  #beginLine(core: SimCore): void {
    this.counts.lines += 1;
    const before = core.folder();
    // A failure of the log is reported, and the operator may try again.
    core.beginLine().catch(() => undefined);
    const { random, clock, hosts, dishonest } = this.#world;
    if (!this.#mayPart || core.state.policies.length === 0 || !random.chance(TWIN_LINES)) return;
    // Another operator begins one with a copy, with the same number as far as is known there, and perhaps with other
    // hosts.
    const some = hosts.filter(({ isGone }) => !isGone && (dishonest > 0 || random.chance(0.5)));
    const copy = this.#world.newCore(before, some.length > 0 ? this.#world.newPolicy(some) : core.wanted);
    this.counts.copies += 1;
    copy.start();
    this.#setApart(core);
    clock.after(random.between(100, 4_000), () => {
      if (!this.#isOver && copy.isUp) copy.beginLine().catch(() => undefined);
    });
  }

  #ofFamily(core: SimCore): void {
    const world = this.#world;
    const { random, family, hosts } = world;
    const rolled = hosts.filter(({ isRolledBack }) => isRolledBack);
    if (rolled.length > 0) {
      const host = random.pick(rolled);
      const saved = this.#saved.get(host) ?? [];
      this.#saved.set(host, saved);
      const others = saved.filter(({ state }) => state?.head !== host.disk.state?.head);
      if (others.length === 0 || random.chance(0.5)) {
        saved.push({ state: host.disk.state });
        return;
      }
      const wasUp = host.isUp;
      host.kill();
      host.disk.replace(random.pick(others).state);
      if (wasUp) host.start();
    }
    if (family === 'F2') this.#deceive(core);
    if (family !== 'FV' || !random.chance(0.4)) return;
    const twin = world.newCore(core.folder(), core.wanted);
    if (!twin.resumeAs(core)) {
      world.lose(twin);
      return;
    }
    this.counts.clones += 1;
    world.invariants.isCloned = true;
    world.note(() => `${twin.name} is resumed as ${core.name}`);
    twin.start();
    if (random.chance(SPLIT)) this.#split(core, twin);
    else this.#setApart(core);
  }

  /** Two cores under one name are both elected; then each reaches some of the hosts, and a reader reads from all. */
  #split(core: SimCore, twin: SimCore, patience = 100): void {
    const { random, clock, hosts, network } = this.#world;
    // What one of them is given now, the other would not have.
    this.#isStill = true;
    clock.after(100, () => {
      const areElected = [core, twin].every(({ isWorking, replicator }) => isWorking && replicator?.writer.isElected);
      if (this.#isOver || !core.isWorking || !twin.isWorking || patience === 0) this.#isStill = false;
      else if (!areElected) this.#split(core, twin, patience - 1);
      else {
        const ms = random.between(5_000, 20_000);
        for (const host of hosts) network.cut(random.pick([core, twin]).name, host, ms);
        this.#isStill = false;
        for (const one of [core, twin]) for (let i = random.between(1, 3); i > 0; i -= 1) this.#append(one);
        clock.after(random.between(1_000, ms), () => {
          if (!this.#isOver) this.#restore(false, core);
        });
      }
    });
  }
}
