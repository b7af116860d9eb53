import pino from 'pino';

/** The number of pino's level for errors. */
const ERROR = 50;

/** A logger that writes lines of text to stderr, for the operator who waits for a command. */
export function onStderr(level: 'warn' | 'error'): pino.Logger {
  const write = (line: string) => {
    const { msg, err, level: severity } = JSON.parse(line) as { msg: string; err?: { message: string }; level: number };
    if (err !== undefined) process.stderr.write(`${msg}: ${err.message}\n`);
    // The error that ends a command is printed by the command.
    else if (severity < ERROR) process.stderr.write(`${msg}\n`);
  };
  return pino({ level }, { write });
}
