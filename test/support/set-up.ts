// Runs before each test file; its imports run once per process.
import fc from 'fast-check';
import './equal-bytes.js';
import { SEED } from './seed.js';

fc.configureGlobal({ seed: SEED });
