// Comes before each file of tests; what it imports comes once a process.
import fc from 'fast-check';
import './equal-bytes.js';
import { SEED } from './seed.js';

fc.configureGlobal({ seed: SEED });
