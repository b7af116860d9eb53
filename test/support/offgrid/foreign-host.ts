import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { RootKey } from '../../../src/infra/crypto/root-key.js';
import { AUTH_KEY, HOST_DEFAULTS, newFolder } from './host.js';
import { ORIGIN, Reader, type HostAt } from './by-hand.js';

const MAIN = fileURLToPath(new URL('foreign_host', import.meta.url));

/** What it prints when it listens. */
interface Started {
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
  #child: ChildProcess;

  private constructor(options: ForeignOptions & { folder: string }, child: ChildProcess, at: HostAt) {
    this.folder = options.folder;
    this.#budgetBytes = options.budgetBytes;
    this.#child = child;
    this.url = at.url;
    this.identity = at.identity;
  }

  /** @throws Error with what it printed when it does not start */
  static async start(options: ForeignOptions = {}): Promise<ForeignHost> {
    const folder = options.folder ?? (await newFolder());
    const { child, url, fingerprint, verifyKey } = await launch({ ...options, folder }, 0);
    return new ForeignHost({ ...options, folder }, child, { url, identity: { id: fingerprint, verifyKey } });
  }

  get id(): string {
    return this.identity.id;
  }

  /** Ends it at once, as a power cut of the process would. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }

  /** Kills it, unless it is dead, and starts it again at its address, on what it has kept. */
  async restart({ budgetBytes }: Pick<ForeignOptions, 'budgetBytes'> = {}): Promise<void> {
    await this.kill();
    this.#budgetBytes = budgetBytes ?? this.#budgetBytes;
    const options = {
      folder: this.folder,
      ...(this.#budgetBytes === undefined ? {} : { budgetBytes: this.#budgetBytes }),
    };
    const { child, fingerprint } = await launch(options, Number(new URL(this.url).port));
    if (fingerprint !== this.id) throw new Error(`host ${this.id} came back as ${fingerprint}`);
    this.#child = child;
  }

  head(root: RootKey, origin = ORIGIN) {
    return new Reader(this, root, origin).head();
  }
}

async function launch(
  { folder, budgetBytes = HOST_DEFAULTS.budgetBytes }: ForeignOptions & { readonly folder: string },
  port: number,
): Promise<Started & { readonly child: ChildProcess }> {
  const args = ['-B', MAIN, '--folder', folder, '--port', String(port), '--budget', String(budgetBytes)];
  const env = { ...process.env, OFFGRID_AUTH_KEY: AUTH_KEY };
  const child = spawn('python3', args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  let printed = '';
  child.stderr.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  for await (const line of createInterface(child.stdout)) return { child, ...(JSON.parse(line) as Started) };
  throw new Error(`the host did not start: ${printed}`);
}
