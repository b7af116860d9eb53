import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checksumOf,
  decode,
  encodeAppend,
  rowJson,
  type EventRow,
} from '../../../../src/infra/eventlog/embedded/event-row.js';
import { MAX_APPEND_BYTES } from '../../../../src/infra/eventlog/eventlog.js';
import { newEvent, newEvents, newMetadata } from '../../../support/events.js';

const corrupt = { name: 'LogError', code: 'LOG_CORRUPT' };
const columns: fc.Arbitrary<Omit<EventRow, 'checksum'>> = fc.record({
  position: fc.integer({ min: 1 }),
  stream: fc.uuid().map((id) => `mission-${id}`),
  revision: fc.nat(),
  id: fc.uuid(),
  type: fc.constantFrom('MissionCreated', 'JobCreated'),
  etype: fc.integer({ min: 1, max: 100 }),
  data: fc.dictionary(fc.string(), fc.jsonValue()).map((value) => JSON.stringify(value)),
  metadata: fc.constantFrom(JSON.stringify(newMetadata()), '{"at":"2026-01-01T00:00:00.000Z"}'),
  recorded_at: fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
});
const COLUMNS = ['position', 'stream', 'revision', 'id', 'type', 'etype', 'data', 'metadata', 'recorded_at'] as const;

describe('an encoded event', () => {
  it('has canonical data and metadata, its number, and its size in bytes of UTF-8', () => {
    const metadata = newMetadata();
    const event = newEvent({ type: 'TaskCreated', data: { z: 'é', a: [{ c: 1, b: 2 }] }, metadata });
    const [encoded] = encodeAppend('task-1', [event]);

    const [id, type, etype, storedData, storedMetadata] = JSON.parse(`[${encoded?.columns ?? ''}]`);
    expect([id, type, etype]).toEqual([event.id, 'TaskCreated', 12]);
    expect(storedData).toBe('{"a":[{"b":2,"c":1}],"z":"é"}');
    expect(storedMetadata.startsWith('{"actor":"tester","at":')).toBe(true);
    expect(encoded?.bytes).toBe(30 + JSON.stringify(metadata).length);
  });

  it('is refused in an append of more than 16 MiB', () => {
    const [one] = encodeAppend('mission-1', [newEvent({ data: { text: '' } })]);
    const text = 'x'.repeat(MAX_APPEND_BYTES / 16 - (one?.bytes ?? 0));
    const fitting = newEvents(16, { data: { text } });
    expect(encodeAppend('mission-1', fitting).reduce((sum, { bytes }) => sum + bytes, 0)).toBe(MAX_APPEND_BYTES);
    expect(() => encodeAppend('mission-1', [...fitting, newEvent()])).toThrow(
      expect.objectContaining({ code: 'EVENT_INVALID' }),
    );
  });
});

describe('a row', () => {
  it('is a JSON array of its columns in their order, with the checksum over them', () => {
    const event = newEvent({ data: { text: 'a "quoted"\nline' } });
    const [encoded] = encodeAppend('mission-"1"', [event]);
    const place = { position: 7, stream: 'mission-"1"', revision: 3, recorded_at: '2026-01-01T00:00:00.000Z' };
    const [position, stream, revision, id, type, etype, data, metadata, recorded_at, checksum] = JSON.parse(
      rowJson(encoded!, place),
    );
    const row = { position, stream, revision, id, type, etype, data, metadata, recorded_at, checksum };
    expect(row).toMatchObject(place);
    expect(decode(row)).toMatchObject({ id: event.id, data: event.data, metadata: event.metadata });
  });

  it('reads back as the same event', () => {
    fc.assert(
      fc.property(columns, (row) => {
        const { position, revision, recorded_at: recordedAt, data, metadata, ...same } = row;
        expect(decode({ ...row, checksum: checksumOf(row) })).toEqual({
          ...same,
          position: BigInt(position),
          revision: BigInt(revision),
          recordedAt,
          data: JSON.parse(data),
          metadata: JSON.parse(metadata),
        });
      }),
    );
  });

  it('has another checksum when any column has another value', () => {
    fc.assert(
      fc.property(columns, columns, (row, other) => {
        for (const column of COLUMNS) {
          const changed = { ...row, [column]: other[column] };
          if (row[column] === other[column]) expect(checksumOf(changed)).toBe(checksumOf(row));
          else expect(checksumOf(changed)).not.toBe(checksumOf(row));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('is refused when a column or the checksum differs from what was written', () => {
    fc.assert(
      fc.property(columns, fc.constantFrom(...COLUMNS, 'checksum' as const), (columnValues, column) => {
        const row = { ...columnValues, checksum: checksumOf(columnValues) };
        const value = row[column];
        const changed = { ...row, [column]: typeof value === 'number' ? value + 1 : `${value} ` };
        expect(() => decode(changed)).toThrow(expect.objectContaining(corrupt));
      }),
    );
  });

  it('is refused when a column has the same bytes as another type of value', () => {
    fc.assert(
      fc.property(columns, fc.constantFrom(...COLUMNS), (columnValues, column) => {
        const row = { ...columnValues, checksum: checksumOf(columnValues) };
        const value = row[column];
        for (const other of [Buffer.from(String(value)), typeof value === 'number' ? String(value) : [value], null]) {
          // The driver may return values that do not have the type of a row.
          const changed: EventRow = Object.assign({}, row, { [column]: other });
          expect(() => decode(changed)).toThrow(expect.objectContaining(corrupt));
        }
      }),
    );
  });
});
