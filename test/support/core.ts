import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import { logOf } from './log-server.js';
import { ALONE, type Untyped } from './node.js';

/** The command line as it is shipped; `npm test` builds it first. */
const MAIN = 'bin/main.js';
/** The longest a process may take to print its address, in milliseconds. */
const PATIENCE_MS = 60_000;
/** The longest a command may take, in milliseconds: some rebuild a read model of 80,000 events on a busy machine. */
const COMMAND_MS = 180_000;

/** How a process ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A temporary folder, which is removed when the test ends. */
export async function newDataDir(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sheratan-e2e-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The command `sheratan` in a process of its own. */
export class Sheratan {
  readonly output: string[] = [];
  readonly errors: string[] = [];
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  #url: string | undefined;
  #hasEnded = false;

  constructor(args: readonly string[], dataDir: string, env: Readonly<Record<string, string>> = {}) {
    this.#child = spawn(process.execPath, [MAIN, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        ...logOf(dataDir),
        SHERATAN_DATA_DIR: dataDir,
        SHERATAN_PORT: '0',
        SHERATAN_LOG_LEVEL: 'warn',
        ...ALONE,
        ...env,
      },
    });
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (code, signal) => {
        this.#hasEnded = true;
        resolve({ code, signal });
      });
    });
    for (const [stream, lines] of [
      [this.#child.stdout, this.output],
      [this.#child.stderr, this.errors],
    ] as const) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        lines.push(line);
        this.#url = /Sheratan is at (\S+)/.exec(line)?.[1] ?? this.#url;
      });
    }
  }

  /** Starts a core and waits until it answers; it is killed with the test at the latest. */
  static async serve(dataDir: string, env: Readonly<Record<string, string>> = {}): Promise<Sheratan> {
    const core = new Sheratan(['serve'], dataDir, env);
    onTestFinished(() => core.kill());
    await core.listening();
    return core;
  }

  /** Runs a command to its end. */
  static async run(
    args: readonly string[],
    dataDir: string,
    env: Readonly<Record<string, string>> = {},
  ): Promise<Ended & { readonly output: readonly string[]; readonly errors: readonly string[] }> {
    const command = new Sheratan(args, dataDir, env);
    const timer = setTimeout(() => command.signal('SIGKILL'), COMMAND_MS);
    const ended = await command.ended;
    clearTimeout(timer);
    return { ...ended, output: command.output, errors: command.errors };
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** The address at which it listens: the last one that it printed. */
  get url(): string {
    if (this.#url === undefined) throw new Error('the process has not printed its address yet');
    return this.#url;
  }

  /** Resolves once it listens. */
  async listening(): Promise<void> {
    const until = performance.now() + PATIENCE_MS;
    while (this.#url === undefined) {
      if (this.#hasEnded || performance.now() > until)
        throw new Error(`the process did not print its address:\n${[...this.output, ...this.errors].join('\n')}`);
      await delay(5);
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Kills it with `kill -9`. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended;
  }

  /** Stops it as Ctrl-C does. */
  async stop(): Promise<Ended> {
    this.signal('SIGINT');
    return this.ended;
  }

  /** Sends a GraphQL request to a running core. @throws the network's error when the core has ended */
  async ask(query: string, variables: object = {}, headers: Readonly<Record<string, string>> = {}): Promise<Untyped> {
    const response = await fetch(`${this.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ query, variables }),
    });
    return response.json();
  }

  /** The data of a document that has no errors. */
  async gql(query: string, variables: object = {}, headers: Readonly<Record<string, string>> = {}): Promise<Untyped> {
    const { data, errors } = await this.ask(query, variables, headers);
    expect(errors).toBeUndefined();
    return data;
  }

  /** The status of the read model. */
  async projection(fields = 'state position head generation'): Promise<Untyped> {
    const { projections } = await this.gql(`{ projections { ${fields} } }`);
    return projections[0];
  }

  /** Resolves with the read model's status once it is at the end of the log. */
  async live(): Promise<Untyped> {
    for (const until = performance.now() + PATIENCE_MS; ;) {
      const status = await this.projection('state position head generation digest');
      if (status.state === 'LIVE' && status.position === status.head) return status;
      if (performance.now() > until) throw new Error(`not live: ${JSON.stringify(status)}`);
      await delay(50);
    }
  }

  /** The resident memory of its process, in MiB. */
  async residentMiB(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  }
}
