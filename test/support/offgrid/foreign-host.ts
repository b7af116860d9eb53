import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { RootKey } from '../../../src/infra/crypto/root-key.js';
import { pathOf } from '../machine.js';
import { AUTH_KEY, HOST_DEFAULTS, newFolder } from './host.js';
import { ORIGIN, Reader, type HostAt } from './by-hand.js';

/** The program that runs the hosts. A test process starts it only once, because Python is slow to start. */
const RUNNER = fileURLToPath(new URL('foreign_hosts.py', import.meta.url));

/** The line that is printed for a host that listens. */
interface Started {
  readonly pid: number;
  readonly url: string;
  readonly fingerprint: string;
  /** In base64. */
  readonly verifyKey: string;
}

/** The settings of a host. */
interface ForeignOptions {
  readonly folder?: string;
  readonly budgetBytes?: number;
}

/**
 * A storage host that shares no code with the product: a Python process, written from the protocol's documentation. It
 * ends with the test.
 */
export class ForeignHost implements HostAt {
  readonly folder: string;
  readonly url: string;
  readonly identity: HostAt['identity'];
  #budgetBytes: number | undefined;
  /** Undefined once it was killed: another process may have the number by then. */
  #pid: number | undefined;

  private constructor(options: ForeignOptions & { folder: string }, pid: number, at: HostAt) {
    this.folder = options.folder;
    this.#budgetBytes = options.budgetBytes;
    this.#pid = pid;
    this.url = at.url;
    this.identity = at.identity;
  }

  /** @throws Error with the host's output when it does not start */
  static async start(options: ForeignOptions = {}): Promise<ForeignHost> {
    const folder = options.folder ?? (await newFolder());
    const { pid, url, fingerprint, verifyKey } = await launch({ ...options, folder }, 0);
    const host = new ForeignHost({ ...options, folder }, pid, { url, identity: { id: fingerprint, verifyKey } });
    onTestFinished(() => host.kill());
    return host;
  }

  get id(): string {
    return this.identity.id;
  }

  /** Ends it immediately, with SIGKILL. */
  async kill(): Promise<void> {
    const pid = this.#pid;
    this.#pid = undefined;
    while (pid !== undefined && kill(pid)) await delay(5);
  }

  /** Kills it, if it runs, and starts it again at its address and on its folder. */
  async restart({ budgetBytes }: Pick<ForeignOptions, 'budgetBytes'> = {}): Promise<void> {
    await this.kill();
    this.#budgetBytes = budgetBytes ?? this.#budgetBytes;
    const options = {
      folder: this.folder,
      ...(this.#budgetBytes === undefined ? {} : { budgetBytes: this.#budgetBytes }),
    };
    const { pid, fingerprint } = await launch(options, Number(new URL(this.url).port));
    if (fingerprint !== this.id) throw new Error(`host ${this.id} restarted as ${fingerprint}`);
    this.#pid = pid;
  }

  head(root: RootKey, origin = ORIGIN) {
    return new Reader(this, root, origin).head();
  }
}

function launch(
  { folder, budgetBytes = HOST_DEFAULTS.budgetBytes }: ForeignOptions & { readonly folder: string },
  port: number,
): Promise<Started> {
  const args = ['--folder', folder, '--port', String(port), '--budget', String(budgetBytes)];
  return ForeignHosts.get().launch(args);
}

/** @returns whether the process still existed */
function kill(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch {
    return false;
  }
}

/** The process that runs the hosts. */
class ForeignHosts {
  static #one: ForeignHosts | undefined;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting = new Map<number, (line: Started & { readonly failed?: string }) => void>();
  #launched = 0;

  static get(): ForeignHosts {
    return (this.#one ??= new ForeignHosts());
  }

  private constructor() {
    const env = { ...process.env, OFFGRID_AUTH_KEY: AUTH_KEY };
    // It has its own process group, so that it can end the hosts that it runs.
    this.#child = spawn(pathOf('Python'), ['-B', RUNNER], { env, detached: true, stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface(this.#child.stdout).on('line', (line) => {
      const started = JSON.parse(line) as Started & { readonly id: number; readonly failed?: string };
      this.#waiting.get(started.id)?.(started);
    });
    this.#child.unref();
  }

  /** @throws Error with the host's output when it does not start */
  async launch(args: readonly string[]): Promise<Started> {
    const id = (this.#launched += 1);
    const started = await new Promise<Started & { readonly failed?: string }>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#child.stdin.write(`${JSON.stringify([id, args])}\n`);
    });
    this.#waiting.delete(id);
    if (started.failed !== undefined) throw new Error(`the host did not start: ${started.failed}`);
    return started;
  }
}
