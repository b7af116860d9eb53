import { test as base } from 'vitest';
import type { EventLog } from '../../../src/infra/eventlog/eventlog.js';

/** A log to be tested. */
export interface LogUnderTest {
  /** An empty log with no other writer. */
  readonly log: EventLog;
  /** Opens the same log again. */
  readonly reopen: () => Promise<EventLog>;
  /** Closes all that was opened and removes the log. */
  readonly cleanup: () => Promise<void>;
}

/** Vitest's `test`, giving each test a log of its own. */
export const createTest = (makeLog: () => Promise<LogUnderTest>) =>
  base.extend<{ underTest: LogUnderTest; log: EventLog }>({
    // Vitest requires this form for a fixture without dependencies.
    underTest: async ({}, use) => {
      const underTest = await makeLog();
      await use(underTest);
      await underTest.cleanup();
    },
    log: async ({ underTest }, use) => {
      await use(underTest.log);
    },
  });

export type LogTest = ReturnType<typeof createTest>;
