import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../app/config.js';
import { isLocalUrl } from '../offgrid/protocol/settings.js';
import { CONFIG_EXIT_CODE } from './errors.js';
import { stopSignal } from './stop.js';

/** One process of this machine. */
export interface Member {
  readonly name: string;
  /** Arguments of `sheratan`. */
  readonly args: readonly string[];
}

/** The processes of this machine: the core, and the broker and the hosts that the settings name on loopback. */
export function membersOf({ offgrid }: Config): Member[] {
  const core = { name: 'core', args: ['serve'] };
  if (!offgrid.enabled) return [core];
  const portOf = (url: string) => new URL(url).port || '80';
  const hosts = offgrid.hosts
    .filter(({ url }) => isLocalUrl(url))
    .map(({ url }, i) => {
      const name = `host-${String.fromCharCode('a'.charCodeAt(0) + (i % 26))}${i < 26 ? '' : Math.floor(i / 26)}`;
      return { name, args: ['host', '--name', name, '--port', portOf(url)] };
    });
  const broker = { name: 'broker', args: ['broker', '--port', portOf(offgrid.brokerUrl)] };
  return [...hosts, ...(isLocalUrl(offgrid.brokerUrl) ? [broker] : []), core];
}

/** The first wait before a process that died is started again, in milliseconds; it doubles. */
const RESTART_DELAY_MS = 500;
/** The longest wait, in milliseconds. */
const MAX_RESTART_DELAY_MS = 30_000;
/** A process that ran for longer than this begins with the first wait again, in milliseconds. */
const HEALTHY_MS = 60_000;
/** How long the processes may take to stop, in milliseconds. */
const STOP_TIMEOUT_MS = 10_000;

/**
 * Runs the processes of a machine as children: their output prefixed with their names, started again when they die, and
 * stopped together. A child that cannot start at all (wrong configuration, port taken, damaged files) ends everything.
 */
export async function up(members: readonly Member[], script: string, print: (line: string) => void): Promise<number> {
  const stopping = new AbortController();
  const children = new Set<ChildProcess>();
  const stop = (signal: NodeJS.Signals) => {
    stopping.abort();
    for (const child of children) child.kill(signal);
  };

  const run = async ({ name, args }: Member): Promise<number> => {
    let wait = RESTART_DELAY_MS;
    for (;;) {
      const startedAt = performance.now();
      // In its own process group a child gets a Ctrl-C once, from this process. The channel closes when this process ends.
      const stdio: StdioOptions = ['ignore', 'pipe', 'pipe', 'ipc'];
      const child = spawn(process.execPath, [script, ...args], { stdio, detached: true });
      children.add(child);
      for (const stream of [child.stdout, child.stderr]) {
        if (stream !== null) createInterface({ input: stream }).on('line', (line) => print(`[${name}] ${line}`));
      }
      const { code, signal } = await exitOf(child);
      children.delete(child);
      // A child that does not handle signals yet is ended by the first; SIGKILL is for a child that did not stop.
      if (stopping.signal.aborted) return code ?? (signal === 'SIGKILL' ? 1 : 0);
      if (code === CONFIG_EXIT_CODE) {
        stop('SIGTERM');
        return code;
      }
      if (performance.now() - startedAt > HEALTHY_MS) wait = RESTART_DELAY_MS;
      print(`[${name}] ended (${code === null ? 'killed' : `exit code ${code}`}); starting again in ${wait / 1_000} s`);
      await delay(wait, undefined, { signal: stopping.signal }).catch(() => undefined);
      if (stopping.signal.aborted) return 0;
      wait = Math.min(wait * 2, MAX_RESTART_DELAY_MS);
    }
  };

  void stopSignal().then(stop);
  // However this process exits, its children must not outlive it.
  process.once('exit', () => {
    for (const child of children) child.kill('SIGTERM');
  });
  stopping.signal.addEventListener('abort', () => {
    setTimeout(() => {
      for (const child of children) child.kill('SIGKILL');
    }, STOP_TIMEOUT_MS).unref();
  });
  const codes = await Promise.all(members.map(run));
  return codes.find((code) => code !== 0) ?? 0;
}

/** How a process ended: with a code, or by a signal. */
interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => {
    child.once('error', () => resolve({ code: 1, signal: null }));
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
}
