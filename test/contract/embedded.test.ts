import { LogFolder } from '../support/log-folder.js';
import { eventLogContract } from './eventlog.js';

const PLACES = [
  ['a SQLite file', {}],
  // Each group of appends begins a partition, as long as that has a sixteenth of the log.
  ['a SQLite file of many partitions', { partitionBytes: 0 }],
] as const;

for (const [place, options] of PLACES)
  eventLogContract('embedded', place, async () => {
    const folder = await LogFolder.create(options);
    return { log: await folder.open(), reopen: () => folder.open(), cleanup: () => folder.remove() };
  });
