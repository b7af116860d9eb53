import pino from 'pino';

/** A logger that tells the person at the terminal, in lines of text, why something does not get on. */
export function onStderr(level: 'warn' | 'error'): pino.Logger {
  const write = (line: string) => {
    const { msg, err } = JSON.parse(line) as { msg: string; err?: { message: string } };
    process.stderr.write(err === undefined ? `${msg}\n` : `${msg}: ${err.message}\n`);
  };
  return pino({ level }, { write });
}
