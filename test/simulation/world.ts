import type { WantedPolicy } from '../../src/domain/policy.js';
import type { Logger } from '../../src/infra/platform/logger.js';
import type { HostClient } from '../../src/infra/offgrid/protocol/host-client.js';
import { Random } from '../support/random.js';
import { SimCore, type CoreFolder, type CoreDependencies } from './core.js';
import { Histories } from './histories.js';
import type { SimHost } from './host.js';
import { check, Invariants, Violation } from './invariants.js';
import { Liar } from './liar.js';
import { Network } from './network.js';
import { ReadingInvariants } from './reading-invariants.js';
import { FAMILIES, newHosts, newPolicy, TRANSFER_BYTES, weatherOf, type Family } from './scenery.js';
import { SimClient } from './sim-client.js';
import { transfers } from './transfers.js';
import { VirtualClock, type Life } from './virtual-time.js';

/** Errors that the replicator may log because of failures that were injected. */
const EXPECTED = /^(the disk is full|it is unknown whether|The outbox has not caught up)/;
/** Errors that the replicator logs when it has found something out. */
const FOUND_OUT = /is suspended:|counts for nothing/;

/** Roots depend on how keys are wrapped, which differs each time: everything else is the same for the same seed. */
const ROOT = /\broot [0-9a-f]{8}/g;

/** Steps of the clock within which a seed must end: the longest seeds take a tenth of them. */
const MAX_STEPS = 60_000;

/** What a seed runs in: its hosts, its cores, and the network between them. */
export class World {
  readonly family: Family;
  readonly random: Random;
  readonly clock: VirtualClock;
  readonly histories = new Histories();
  readonly hosts: readonly SimHost[];
  readonly network: Network;
  readonly invariants: Invariants;
  readonly readings: ReadingInvariants;
  /** The weight of hosts that may be dishonest, as cores and restores are configured. */
  readonly dishonest: number;
  readonly faults: CoreDependencies['faults'];
  /** Whether nothing fails any more except dishonest hosts, and nothing is in transit. */
  isCalm = false;
  /** Every core whose machine exists, running or not. */
  readonly cores: SimCore[] = [];
  readonly trace: string[] = [];
  readonly #isTraced: boolean;
  readonly #ground: CoreDependencies;
  #failure: Error | undefined;
  #names = 0;
  #steps = 0;

  /** @param isTraced whether events are written to the trace, which takes time */
  constructor(seed: number, isTraced: boolean, family = FAMILIES[seed % FAMILIES.length]!) {
    const random = new Random(seed);
    this.family = family;
    this.random = random;
    this.#isTraced = isTraced;
    this.clock = new VirtualClock(random);
    const { hosts, liars } = newHosts(family, random, this.clock);
    this.hosts = hosts;
    const isUndeclared = family === 'F2';
    this.invariants = new Invariants(this.histories, hosts, isUndeclared);
    this.readings = new ReadingInvariants(this.invariants, hosts, isUndeclared);
    for (const host of liars) {
      const liar = new Liar(host, this.invariants.pool, random);
      host.lie = (request) => liar.answer(request);
    }
    const faulty = hosts.filter((host) => host.isFaulty);
    this.dishonest = isUndeclared ? 0 : faulty.reduce((sum, { traits }) => sum + traits.weight, 0);
    this.network = new Network(weatherOf(random), this.clock, random, (line) => {
      this.note(line);
    });
    for (const host of hosts) this.#watch(host);
    const sizes = random.pick(TRANSFER_BYTES);
    transfers.draw = () => random.pick(sizes);
    const isFailing = random.chance(0.3);
    this.faults = {
      journal: isFailing ? 0.03 : 0,
      late: isFailing ? 0.03 : 0,
      death: isFailing ? 0.01 : 0,
      maxDelayMs: random.pick([0, 5, 50]),
    };
    this.#ground = {
      ...{ clock: this.clock, random, faults: this.faults, logger: this.#logger() },
      clientOf: (core, url, life, signal) => this.#clientOf(core, url, life, signal),
      onRecorded: (core, event) => {
        this.note(() => `${core.name} ${event.type} ${briefly(event.data)}`);
        this.guard(() => {
          this.invariants.onRecorded(core, event);
        });
      },
      onHalted: (core, { code, message }) => {
        this.note(() => `${core.name} ${code} ${message}`);
        this.guard(() => {
          this.invariants.onHalted(core, code, message);
        });
      },
      onDeath: (core) => {
        this.#revive(core);
      },
      onCrash: (core, error) => {
        this.fail(new Violation(`${core.name} does not start: ${String(error)}`));
      },
    };
  }

  /** Lets time pass. @throws the first failure meanwhile */
  async run(ms: number, isOver: () => boolean = () => false): Promise<void> {
    await this.clock.run(ms, () => {
      this.#steps += 1;
      this.guard(() => {
        check(this.#steps < MAX_STEPS, () => 'it does not come to rest');
      });
      return this.#failure !== undefined || isOver();
    });
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Adds a line to the trace, if there is one. */
  note(line: () => string): void {
    if (this.#isTraced) this.trace.push(`${this.clock.now % 10_000_000} ${line().replace(ROOT, 'root …')}`);
  }

  fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
  }

  /** A failure within a callback ends the run. */
  guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fail(error);
    }
  }

  newName(): string {
    this.#names += 1;
    return `c${this.#names}`;
  }

  newPolicy(hosts = this.hosts.filter(({ isGone }) => !isGone)): WantedPolicy {
    return newPolicy(this.family, this.random, hosts, this.dishonest);
  }

  /** A core on a machine of its own. */
  newCore(folder: CoreFolder, wanted: WantedPolicy): SimCore {
    const settings = { wanted, dishonestWeight: this.dishonest, skewMs: this.random.between(-3_600_000, 3_600_000) };
    const core = new SimCore(this.newName(), folder, settings, this.#ground);
    this.cores.push(core);
    return core;
  }

  /** The machine of a core is lost. */
  lose(core: SimCore): void {
    core.kill();
    const index = this.cores.indexOf(core);
    if (index >= 0) this.cores.splice(index, 1);
  }

  /** A core that has died begins another process, unless its machine has been lost meanwhile. */
  #revive(core: SimCore): void {
    this.note(() => `${core.name} dies`);
    this.clock.after(this.random.between(0, 4_000), () => {
      if (this.cores.includes(core)) core.start();
    });
  }

  /** The client with which a reader reaches a host. */
  clientFor(name: string, host: SimHost, life: Life): HostClient {
    const { network, random } = this;
    return new SimClient({ host, network, random, asker: { name, life } });
  }

  #clientOf(core: SimCore, url: string, life: Life, signal: AbortSignal): HostClient {
    const { network, random } = this;
    const host = this.hosts.find((one) => one.url === url);
    if (host === undefined) throw new Error(`no host is at ${url}`);
    return new SimClient({
      ...{ host, network, random, signal, asker: { name: core.name, life } },
      onShip: (sent) => {
        this.guard(() => {
          this.invariants.onShip(core, sent);
        });
      },
    });
  }

  #watch(host: SimHost): void {
    host.disk.onChanged = (after, before) => {
      this.guard(() => {
        this.invariants.onDisk(host, after, before);
      });
    };
    host.onRefused = (refusal) => {
      this.guard(() => {
        this.invariants.onRefused(host, refusal);
      });
    };
  }

  /** The product must not log errors beyond those that were injected. */
  #logger(): Logger {
    const complain = (details: unknown, message?: string) => {
      const text = typeof details === 'string' ? details : (message ?? '');
      const error = typeof details === 'object' && details !== null && 'err' in details ? details.err : undefined;
      const isExpected = error instanceof Error && EXPECTED.test(error.message);
      this.note(() => `error: ${text} ${error instanceof Error ? String(error.stack) : ''}`);
      this.guard(() => {
        const what = () => `the product complains: ${text} ${error instanceof Error ? String(error.stack) : ''}`;
        check(isExpected || FOUND_OUT.test(text), what);
      });
    };
    const print = (details: unknown, message?: string) => {
      this.note(() => `log: ${typeof details === 'string' ? details : (message ?? '')}`);
    };
    // A halted core logs a reason without an error; one that has failed logs the error.
    const give = (details: unknown, message?: string) => {
      (typeof details === 'object' && details !== null && 'err' in details ? complain : print)(details, message);
    };
    const ignore = () => undefined;
    const logger = {
      level: 'info',
      error: complain,
      fatal: give,
      warn: print,
      info: print,
      debug: ignore,
      trace: ignore,
    };
    return { ...logger, silent: ignore, child: () => logger } as unknown as Logger;
  }
}

/** Data as the trace shows it: without what is random beyond the seed. */
function briefly(data: object): string {
  const { state, sequence, why, line, policyVersion, writerEpoch, quorumSequence, version, required, hosts, elected } =
    data as Readonly<Record<string, unknown>>;
  const reached = Array.isArray(hosts)
    ? hosts.map((host: { host: string; sequence?: number }) => `${host.host.slice(0, 4)}:${host.sequence ?? ''}`)
    : undefined;
  const details = {
    state,
    sequence,
    why,
    line,
    policyVersion,
    writerEpoch,
    quorumSequence,
    version,
    required,
    reached,
  };
  return JSON.stringify({ ...details, elected });
}
