// Puts the compiled program and the libraries it uses into a few files, bin/main.js and what it loads when needed: to find
// and read 1,700 modules took longer than everything else that a process does before it answers.
import { chmod } from 'node:fs/promises';
import { rolldown } from 'rolldown';

/** Left where they are: what is native, starts threads from files of its own, has files that are served, or is not installed. */
const EXTERNAL = [/^node:/, 'sqlite3', 'pino', 'thread-stream', 'altair-static', '@fastify/static', 'class-validator'];

const bundle = await rolldown({ input: 'dist/main.js', platform: 'node', external: EXTERNAL });
await bundle.write({ dir: 'bin', format: 'esm', entryFileNames: 'main.js' });
await bundle.close();
await chmod('bin/main.js', 0o755);
