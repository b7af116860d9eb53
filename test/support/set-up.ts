// Runs before each test file; its imports run once per process.
import fc from 'fast-check';
import { afterAll } from 'vitest';
import './equal-bytes.js';
import { processorSeconds } from './processor-seconds.js';
import { SEED } from './seed.js';

fc.configureGlobal({ seed: SEED });

// For the lanes' times. The first file of a process pays for what others import, too.
const before = processorSeconds();
afterAll(({}, file) => {
  file.meta.processorSeconds = processorSeconds() - before;
});
