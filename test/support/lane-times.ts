import type { Reporter, TestModule } from 'vitest/node';

/** Prints at the end the total time of the files of each lane; lanes run in parallel. */
export class LaneTimes implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const lanes = new Map<string, { files: number; ms: number }>();
    for (const module of modules) {
      const { duration, collectDuration, setupDuration } = module.diagnostic();
      const lane = lanes.get(module.project.name) ?? { files: 0, ms: 0 };
      lane.files += 1;
      lane.ms += duration + collectDuration + setupDuration;
      lanes.set(module.project.name, lane);
    }
    for (const [name, { files, ms }] of lanes) console.log(`lane ${name}: ${files} files, ${Math.round(ms / 1_000)} s`);
  }
}
