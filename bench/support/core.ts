import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Runs `work` against a core in a process of its own, as it is in use. */
export async function withCore<R>(dataDir: string, work: (url: string) => Promise<R>): Promise<R> {
  const program = fileURLToPath(new URL('./serve-run.js', import.meta.url));
  const core = spawn(process.execPath, [program, dataDir], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(core, 'close');
  try {
    const listening = once(createInterface({ input: core.stdout }), 'line') as Promise<[string]>;
    const [url] = await Promise.race([listening, ended.then(() => Promise.reject(new Error('the core ended')))]);
    return await work(url);
  } finally {
    core.stdin.end();
    await ended;
  }
}
