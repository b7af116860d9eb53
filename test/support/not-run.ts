import type { Reporter, TestModule } from 'vitest/node';

/** Prints at the end how many tests were skipped for want of something that the machine lacks, by what that is. */
export class NotRun implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = new Map<string, number>();
    for (const module of modules)
      for (const test of module.children.allTests('skipped')) {
        const result = test.result();
        const note = result.state === 'skipped' ? result.note : undefined;
        if (note !== undefined) counts.set(note, (counts.get(note) ?? 0) + 1);
      }
    for (const [note, count] of counts) console.log(`NOT RUN: ${count} ${count === 1 ? 'test' : 'tests'}. ${note}.`);
  }
}
