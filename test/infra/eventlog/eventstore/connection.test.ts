import { EventStoreDBClient } from '@eventstore/db-client';
import { expect, it, onTestFinished, vi } from 'vitest';
import { Connection } from '../../../../src/infra/eventlog/eventstore/connection.js';

it('reports which version of the client is needed when the installed one lacks the replaced internals', () => {
  const other = { createChannel: () => undefined } as unknown as EventStoreDBClient;
  const opening = vi.spyOn(EventStoreDBClient, 'connectionString').mockReturnValue(other);
  onTestFinished(() => opening.mockRestore());
  expect(() => new Connection('esdb://127.0.0.1:2113?tls=false', () => undefined)).toThrow(
    /no GRPCStreamCreator.*npm ci/,
  );
});

it('opens with the installed client', async () => {
  const connection = new Connection('esdb://127.0.0.1:9?tls=false', () => undefined);
  await connection.end();
});
