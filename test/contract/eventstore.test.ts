import { readAddress } from '../../src/infra/eventlog/eventstore/address.js';
import { EventStoreLog } from '../../src/infra/eventlog/eventstore/eventstore-log.js';
import { logServer, SERVERS } from '../support/log-server.js';
import { quiet } from '../support/quiet.js';
import { eventLogContract } from './eventlog.js';

for (const version of SERVERS) {
  const server = await logServer(version);

  eventLogContract('EventStoreDB', server.name, async () => {
    const address = readAddress(server.newLogUrl());
    const opened: EventStoreLog[] = [];
    const open = async () => {
      const log = await EventStoreLog.open(address, quiet);
      opened.push(log);
      return log;
    };
    return {
      log: await open(),
      reopen: open,
      cleanup: async () => {
        await Promise.all(opened.map((log) => log.close()));
      },
    };
  });
}
