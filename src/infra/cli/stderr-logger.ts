import pino from 'pino';

/** The number of pino's level for errors. */
const ERROR = 50;

/** A logger that tells the person at the terminal, in lines of text, why something does not get on. */
export function onStderr(level: 'warn' | 'error'): pino.Logger {
  const write = (line: string) => {
    const { msg, err, level: said } = JSON.parse(line) as { msg: string; err?: { message: string }; level: number };
    if (err !== undefined) process.stderr.write(`${msg}: ${err.message}\n`);
    // What a command ends with, it says itself.
    else if (said < ERROR) process.stderr.write(`${msg}\n`);
  };
  return pino({ level }, { write });
}
