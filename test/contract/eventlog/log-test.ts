import { test as base } from 'vitest';
import type { EventLog } from '../../../src/infra/eventlog/eventlog.js';

/** A log to be tested. */
export interface LogUnderTest {
  /** Empty, and written to by nobody else. */
  readonly log: EventLog;
  /** Opens the same log once more. */
  readonly reopen: () => Promise<EventLog>;
  /** Closes what was opened and takes it away. */
  readonly cleanup: () => Promise<void>;
}

/** Vitest's `test`, giving each test a log of its own. */
export const createTest = (makeLog: () => Promise<LogUnderTest>) =>
  base.extend<{ underTest: LogUnderTest; log: EventLog }>({
    // How Vitest wants a fixture without dependencies to look.
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
