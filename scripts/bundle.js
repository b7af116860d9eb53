// Bundles the compiled program and its libraries into a few files: bin/main.js and what it loads when needed. Finding and
// reading 1,700 modules took longer than everything else that a process does before it answers.
import { chmod } from 'node:fs/promises';
import { rolldown } from 'rolldown';

/** Not bundled: modules that are native, start threads from their own files, serve their own files, or are not installed. */
const EXTERNAL = [/^node:/, 'sqlite3', 'pino', 'thread-stream', 'altair-static', '@fastify/static', 'class-validator'];

const bundle = await rolldown({ input: 'dist/main.js', platform: 'node', external: EXTERNAL });
await bundle.write({ dir: 'bin', format: 'esm', entryFileNames: 'main.js' });
await bundle.close();
await chmod('bin/main.js', 0o755);
