import { readAddress } from '../../src/infra/eventlog/eventstore/address.js';
import { EventStoreLog } from '../../src/infra/eventlog/eventstore/eventstore.js';
import { StandIn } from '../support/eventstore/stand-in.js';
import { quiet } from '../support/quiet.js';
import { eventLogContract } from './eventlog.js';

eventLogContract('EventStoreDB', async () => {
  const server = await StandIn.start({ maxAppendSize: 16 * 1024 * 1024 });
  const opened: EventStoreLog[] = [];
  const open = async () => {
    const log = await EventStoreLog.open(readAddress(server.url), quiet);
    opened.push(log);
    return log;
  };
  return {
    log: await open(),
    reopen: open,
    cleanup: async () => {
      await Promise.all(opened.map((log) => log.close()));
      await server.stop();
    },
  };
});
