import { LogFolder } from '../support/log-folder.js';
import { eventLogContract } from './eventlog.js';

eventLogContract('embedded', 'a SQLite file', async () => {
  const folder = await LogFolder.create();
  return { log: await folder.open(), reopen: () => folder.open(), cleanup: () => folder.remove() };
});
