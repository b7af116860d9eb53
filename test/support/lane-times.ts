import { relative } from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';
import './processor-seconds.js';

/** How many of the files that took the most processor time are listed. */
const LISTED = 20;

/**
 * Prints at the end the time of each lane, and the files that took the most processor time. Lanes and files run in parallel, so
 * only processor time tells what a run would save without one of them.
 */
export class LaneTimes implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const files = modules.map((module) => {
      const { duration, collectDuration, setupDuration } = module.diagnostic();
      const { name: lane } = module.project;
      const cpu = module.meta().processorSeconds ?? 0;
      return { lane, name: relative('', module.moduleId), ms: duration + collectDuration + setupDuration, cpu };
    });
    const times = (some: typeof files) => {
      const [ms, cpu] = [sum(some.map((file) => file.ms)), sum(some.map((file) => file.cpu))];
      return `${Math.round(ms / 1_000)} s, ${Math.round(cpu)} s of processors`;
    };
    const most = files.toSorted((a, b) => b.cpu - a.cpu).slice(0, LISTED);
    if (files.length > LISTED) for (const file of most) console.log(`${file.name}: ${times([file])}`);
    for (const lane of new Set(files.map((file) => file.lane))) {
      const some = files.filter((file) => file.lane === lane);
      console.log(`lane ${lane}: ${some.length} files, ${times(some)}`);
    }
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
