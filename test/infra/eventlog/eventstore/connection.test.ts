import type { EventStoreDBClient } from '@eventstore/db-client';
import { expect, it } from 'vitest';
import { readAddress } from '../../../../src/infra/eventlog/eventstore/address.js';
import { Connection } from '../../../../src/infra/eventlog/eventstore/connection.js';
import { Dialer } from '../../../../src/infra/eventlog/eventstore/dialer.js';

function open(...client: EventStoreDBClient[]): Connection {
  const address = readAddress('esdb://127.0.0.1:9?tls=false');
  return new Connection(address, new Dialer(address.tls), () => undefined, ...client);
}

it('reports which version of the client is needed when the installed one lacks the internals', () => {
  const other = { createChannel: () => undefined } as unknown as EventStoreDBClient;
  expect(() => open(other)).toThrow(/no resolveUri and no GRPCStreamCreator.*npm ci/);
});

it('opens with the installed client', async () => {
  await open().end();
});
