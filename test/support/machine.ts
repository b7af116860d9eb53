import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { TestRunner } from 'vitest';

/** Programs that not every machine has, by the names under which they are found. */
const PROGRAMS = {
  Chromium: ['chromium', 'chromium-browser', 'google-chrome'],
  Python: ['python3'],
} as const;

/**
 * The path of a program. Without it the test is not run, as {@link doWithout} describes.
 * @throws what {@link doWithout} throws
 */
export function pathOf(program: keyof typeof PROGRAMS): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const paths = PROGRAMS[program].flatMap((name) => folders.map((folder) => join(folder, name)));
  return paths.find(isExecutable) ?? doWithout(`${program} is not installed`);
}

/**
 * Ends the current test because the machine lacks something: where `CI` is set, the test fails; elsewhere it is skipped, and the
 * reason is printed at the end of the run.
 * @param lack what is missing, as a sentence without its full stop
 * @throws Error always: the reason, or vitest's mark of a skipped test
 */
export function doWithout(lack: string, cause?: unknown): never {
  const test = TestRunner.getCurrentTest();
  if (test === undefined || process.env['CI']) throw new Error(lack, { cause });
  // eslint-disable-next-line no-restricted-syntax -- the one place: the end of the run prints what was skipped
  return test.context.skip(lack);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
