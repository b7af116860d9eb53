import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { RootKey } from '../../../src/infra/crypto/root-key.js';
import { AUTH_KEY, HOST_DEFAULTS, newFolder } from './host.js';
import { ORIGIN, Reader, type HostAt } from './by-hand.js';

/** What runs them. It is started once in a process of tests: Python takes longer to start than most of what is tested. */
const RUNNER = fileURLToPath(new URL('foreign_hosts.py', import.meta.url));

/** What is printed of one that listens. */
interface Started {
  readonly pid: number;
  readonly url: string;
  readonly fingerprint: string;
  /** In base64. */
  readonly verifyKey: string;
}

/** How one is set up. */
interface ForeignOptions {
  readonly folder?: string;
  readonly budgetBytes?: number;
}

/**
 * A storage host that shares no code with the product's: a process of Python, written from the document of the
 * protocol. It ends with the test.
 */
export class ForeignHost implements HostAt {
  readonly folder: string;
  readonly url: string;
  readonly identity: HostAt['identity'];
  #budgetBytes: number | undefined;
  /** None once it was killed: the number may be another's by then. */
  #pid: number | undefined;

  private constructor(options: ForeignOptions & { folder: string }, pid: number, at: HostAt) {
    this.folder = options.folder;
    this.#budgetBytes = options.budgetBytes;
    this.#pid = pid;
    this.url = at.url;
    this.identity = at.identity;
  }

  /** @throws Error with what it printed when it does not start */
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

  /** Ends it at once, as a power cut of the process would. */
  async kill(): Promise<void> {
    const pid = this.#pid;
    this.#pid = undefined;
    while (pid !== undefined && kill(pid)) await delay(5);
  }

  /** Kills it, unless it is dead, and starts it again at its address, on what it has kept. */
  async restart({ budgetBytes }: Pick<ForeignOptions, 'budgetBytes'> = {}): Promise<void> {
    await this.kill();
    this.#budgetBytes = budgetBytes ?? this.#budgetBytes;
    const options = {
      folder: this.folder,
      ...(this.#budgetBytes === undefined ? {} : { budgetBytes: this.#budgetBytes }),
    };
    const { pid, fingerprint } = await launch(options, Number(new URL(this.url).port));
    if (fingerprint !== this.id) throw new Error(`host ${this.id} came back as ${fingerprint}`);
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

/** @returns whether there was still something to kill */
function kill(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch {
    return false;
  }
}

/** The process that runs hosts. */
class ForeignHosts {
  static #one: ForeignHosts | undefined;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #told = new Map<number, (line: Started & { readonly failed?: string }) => void>();
  #launched = 0;

  static get(): ForeignHosts {
    return (this.#one ??= new ForeignHosts());
  }

  private constructor() {
    const env = { ...process.env, OFFGRID_AUTH_KEY: AUTH_KEY };
    // In a group of its own, with which it ends those that it runs.
    this.#child = spawn('python3', ['-B', RUNNER], { env, detached: true, stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface(this.#child.stdout).on('line', (line) => {
      const told = JSON.parse(line) as Started & { readonly id: number; readonly failed?: string };
      this.#told.get(told.id)?.(told);
    });
    this.#child.unref();
  }

  /** @throws Error with what it printed when it does not start */
  async launch(args: readonly string[]): Promise<Started> {
    const id = (this.#launched += 1);
    const told = await new Promise<Started & { readonly failed?: string }>((resolve) => {
      this.#told.set(id, resolve);
      this.#child.stdin.write(`${JSON.stringify([id, args])}\n`);
    });
    this.#told.delete(id);
    if (told.failed !== undefined) throw new Error(`the host did not start: ${told.failed}`);
    return told;
  }
}
