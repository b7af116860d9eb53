import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RecordedEvent } from '../../../src/domain/event.js';
import type { EventFilter } from '../../../src/infra/eventlog/eventlog.js';
import { filterCondition } from '../../../src/infra/eventlog/embedded/filter-condition.js';
import { matches } from '../../../src/infra/eventlog/filter.js';
import { Connection } from '../../../src/infra/sqlite/connection.js';
import { newEvent } from '../../support/events.js';

const CATEGORIES = ['mission', 'miss', 'job'];
const ENDS = ['1', '2', '-', 'mission-1', "'", '%', '\\', 'é', '🚀', '\u0000', 'A', 'a', ''];
const TYPES = ['MissionCreated', 'JobCreated', 'JobFailed'];

const stream = fc.tuple(fc.constantFrom(...CATEGORIES), fc.constantFrom(...ENDS)).map(([a, b]) => `${a}-${b}`);
const event: fc.Arbitrary<RecordedEvent> = fc
  .record({ stream, type: fc.constantFrom(...TYPES) })
  .map((place) => ({ ...newEvent(), ...place, etype: 10, revision: 0n, position: 0n, recordedAt: '' }));
const some = (values: fc.Arbitrary<string>) => fc.option(fc.array(values, { maxLength: 4 }), { nil: undefined });
const filter: fc.Arbitrary<EventFilter | undefined> = fc.option(
  fc.record(
    {
      categories: some(fc.constantFrom(...CATEGORIES, '', 'mission-1', 'MISSION')),
      types: some(fc.constantFrom(...TYPES, 'jobcreated', '')),
      streams: some(stream),
    },
    { requiredKeys: [] },
  ),
  { nil: undefined },
);

describe('a filter', () => {
  let database: Connection;

  beforeAll(async () => {
    database = await Connection.open(':memory:', 'write');
    await database.run('CREATE TABLE events (place INTEGER, stream TEXT NOT NULL, type TEXT NOT NULL)');
  });

  afterAll(() => database.close());

  it('matches the same events here as in SQL', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 30 }), filter, async (events, asked) => {
        await database.run('DELETE FROM events');
        await database.run("INSERT INTO events SELECT key, value->>'stream', value->>'type' FROM json_each(?)", [
          JSON.stringify(events.map(({ stream: name, type }) => ({ stream: name, type }))),
        ]);
        const { sql, params } = filterCondition(asked);

        const rows = await database.all<{ place: number }>(
          `SELECT place FROM events WHERE true ${sql} ORDER BY place`,
          params,
        );

        expect(rows.map(({ place }) => place)).toEqual(
          [...events.entries()].flatMap(([i, candidate]) => (matches(asked, candidate) ? [i] : [])),
        );
      }),
      { numRuns: 400 },
    );
  });

  it('matches every event when it has no parts, and no event when a part is an empty list', () => {
    const candidate: RecordedEvent = {
      ...newEvent(),
      stream: 'job-1',
      etype: 1,
      revision: 0n,
      position: 1n,
      recordedAt: '',
    };
    for (const asked of [undefined, {}, { types: undefined }]) expect(matches(asked, candidate)).toBe(true);
    for (const asked of [{ types: [] }, { streams: [] }, { categories: [] }])
      expect(matches(asked, candidate)).toBe(false);
  });
});
