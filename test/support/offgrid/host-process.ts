import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { HostOptions } from '../../../src/infra/offgrid/host/server.js';
import { HOST_DEFAULTS } from './host.js';

const MAIN = fileURLToPath(new URL('host-main.mjs', import.meta.url));

/** The line that it prints when it listens. */
interface Started {
  readonly url: string;
  readonly id: string;
  readonly verifyKey: string;
}

/** A host in a process of its own, which runs the built program in `dist`. */
export class HostProcess {
  /** Its address and identity, in the form of a host in this process. */
  readonly host: { readonly url: string; readonly identity: { readonly id: string; readonly verifyKey: string } };
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(child: ChildProcess, { url, id, verifyKey }: Started) {
    this.#child = child;
    this.#ended = once(child, 'exit');
    this.host = { url, identity: { id, verifyKey } };
  }

  /** Starts one in a folder. @throws Error with its output when it does not start */
  static async start(folder: string, options: Partial<HostOptions> = {}): Promise<HostProcess> {
    const all = { folder, ...HOST_DEFAULTS, ...options };
    const child = spawn(process.execPath, [MAIN, JSON.stringify(all)], { stdio: ['ignore', 'pipe', 'pipe'] });
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    for await (const line of createInterface(child.stdout)) {
      return new HostProcess(child, JSON.parse(line) as Started);
    }
    throw new Error(`the host did not start: ${errors}`);
  }

  /** Ends it immediately, with SIGKILL. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** Stops it as an operator does; resolves with its exit code. */
  async stop(): Promise<number | null> {
    this.#child.kill('SIGTERM');
    await this.#ended;
    return this.#child.exitCode;
  }
}
