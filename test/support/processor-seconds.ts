import { readFileSync } from 'node:fs';

declare module 'vitest' {
  interface TaskMeta {
    /** The processor time that a file has taken, with that of the processes that it started and that have ended, in seconds. */
    processorSeconds?: number;
  }
}

/** The unit of processor times in `/proc`, in seconds. */
const TICK = 0.01;

/** The processor time of this process and of those of its processes that have ended, in seconds; NaN where there is no `/proc`. */
export function processorSeconds(): number {
  let stat: string;
  try {
    stat = readFileSync('/proc/self/stat', 'utf8');
  } catch {
    return NaN;
  }
  // The name of the program, in parentheses, may contain spaces. After it, the times are the fields 12 to 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((ticks, field) => ticks + Number(field), 0) * TICK;
}
