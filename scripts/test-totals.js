// Prints the totals of the last test run, as vitest recorded them: `12 passed, 0 failed`.
import { readFileSync } from 'node:fs';

const results = JSON.parse(readFileSync('.ci/test-results.json', 'utf8'));

// A file that could not be loaded holds no test, yet it failed.
const brokenFiles = results.testResults.filter(
  ({ status, assertionResults }) => status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
).length;
const failed = results.numFailedTests + brokenFiles;
const skipped = results.numPendingTests + results.numTodoTests;

console.log(`${results.numPassedTests} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
