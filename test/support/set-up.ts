// Comes before each file of tests; what it imports comes once a process.
import './equal-bytes.js';
