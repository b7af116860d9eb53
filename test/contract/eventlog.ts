import { beforeAll, describe } from 'vitest';
import { appendContract } from './eventlog/append.js';
import { appendAllContract } from './eventlog/append-all.js';
import { closeContract } from './eventlog/close.js';
import { concurrencyContract } from './eventlog/concurrency.js';
import { createTest, type LogUnderTest } from './eventlog/log-test.js';
import { readContract } from './eventlog/read.js';
import { refusalContract } from './eventlog/refusal.js';
import { subscribeContract } from './eventlog/subscribe.js';

/**
 * Defines the contract of every event log, and tests one log against it.
 * @param adapter the name of the log, and `place` the backend it is tested with
 */
export function eventLogContract(adapter: string, place: string, makeLog: () => Promise<LogUnderTest>): void {
  const test = createTest(makeLog);
  describe(`the event log: ${adapter}, on ${place}`, () => {
    beforeAll(() => console.log(`contract: the ${adapter} log, against ${place}`));
    appendContract(test);
    appendAllContract(test);
    concurrencyContract(test);
    refusalContract(test);
    readContract(test);
    subscribeContract(test);
    closeContract(test);
  });
}
