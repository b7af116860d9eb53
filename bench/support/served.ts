import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** A program that serves: the first line it prints is its url. */
export interface Served {
  readonly program: URL;
  readonly args: readonly string[];
  /** Asks it to stop. */
  readonly stop: (server: ChildProcess) => void;
}

/** Runs `work` against a server in a process of its own. */
export async function withServed<R>({ program, args, stop }: Served, work: (url: string) => Promise<R>): Promise<R> {
  const server = spawn(process.execPath, [fileURLToPath(program), ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(server, 'close');
  try {
    const listening = once(createInterface({ input: server.stdout }), 'line') as Promise<[string]>;
    const [url] = await Promise.race([listening, ended.then(() => Promise.reject(new Error('the server ended')))]);
    return await work(url);
  } finally {
    stop(server);
    await ended;
  }
}
