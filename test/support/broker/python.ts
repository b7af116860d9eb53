import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { pathOf } from '../machine.js';

/** Runs a program to its end; returns its output. */
export async function runPython(args: readonly string[], input = ''): Promise<string> {
  const python = pathOf('Python');
  return new Promise((resolve, reject) => {
    const child = execFile(python, args, { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`Python failed: ${stderr}`, { cause: error }));
      else resolve(stdout);
    });
    child.stdin?.end(input);
  });
}

/** An old broker in a process of its own. */
export async function startOldBroker(authKey: string): Promise<{ readonly url: string; readonly stop: () => void }> {
  const child = spawn(pathOf('Python'), [scriptAt('old_broker.py'), authKey], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [url] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { url, stop: () => void child.kill() };
}

/** The answer of a broker to an old client. */
export interface Answered {
  readonly status: number;
  readonly body: unknown;
}

/** Lets an old client send requests to a broker: each a path, and a body if it is a POST. */
export async function askAsOldClient(
  url: string,
  authKey: string,
  requests: readonly (readonly [path: string, body: object | null])[],
): Promise<Answered[]> {
  const printed = await runPython([scriptAt('old_client.py'), url, authKey, JSON.stringify(requests)]);
  return JSON.parse(printed) as Answered[];
}

function scriptAt(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}
