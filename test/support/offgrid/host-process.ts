import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { systemClock } from '../../../src/infra/clock.js';
import type { HostOptions } from '../../../src/infra/offgrid/host/server.js';
import { HttpHost } from '../../../src/infra/offgrid/replicator/http-host.js';
import { AUTH_KEY } from './host.js';

const MAIN = fileURLToPath(new URL('host-main.mjs', import.meta.url));

/** A host in a process of its own, which runs what was built. */
export class HostProcess {
  readonly client: HttpHost;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(child: ChildProcess, url: string, id: string) {
    this.#child = child;
    this.#ended = once(child, 'exit');
    this.client = new HttpHost(url, AUTH_KEY, systemClock, id);
  }

  /** Starts one in a folder. @throws Error with what it said when it does not start */
  static async start(folder: string, options: Partial<HostOptions> = {}): Promise<HostProcess> {
    const all = {
      folder,
      name: 'host-a',
      bind: '127.0.0.1',
      port: 0,
      authKey: AUTH_KEY,
      budgetBytes: 256 * 1024 * 1024,
      chunkThreshold: 1_024,
      ...options,
    };
    const child = spawn(process.execPath, [MAIN, JSON.stringify(all)], { stdio: ['ignore', 'pipe', 'pipe'] });
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    for await (const line of createInterface(child.stdout)) {
      const { url, id } = JSON.parse(line) as { url: string; id: string };
      return new HostProcess(child, url, id);
    }
    throw new Error(`the host did not start: ${said}`);
  }

  /** Ends it at once, as a power cut of the process would. */
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
