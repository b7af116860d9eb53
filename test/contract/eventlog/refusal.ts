import { describe, expect } from 'vitest';
import { MAX_APPEND_EVENTS, MAX_EVENT_BYTES, MAX_STREAM_LENGTH } from '../../../src/infra/eventlog/eventlog.js';
import { collect, expectLogError, newEvent, newEvents, newMetadata, newStream } from '../../support/events.js';
import type { LogTest } from './log-test.js';

const BAD_STREAMS = {
  'an empty name': '',
  'no id': 'mission-',
  'no dash': 'mission',
  'no category': '-1',
  'a category in upper case': 'Mission-1',
  'a category with a digit': 'mission2-1',
  'a category that is not in the catalogue': 'host-1',
  'a space before the category': ' mission-1',
  'a system stream': '$all',
  'a metadata stream': '$$mission-1',
  'too long a name': `mission-${'x'.repeat(MAX_STREAM_LENGTH - 7)}`,
  'half a surrogate pair': 'mission-\ud83d',
};
const BAD_TYPES = ['', 'missioncreated', 'MissionCreated ', 'toString', '__proto__', '$tombstone', '$truncated'];
const BAD_IDS = [
  '',
  'mission-1',
  '0197A2B4-0000-7000-8000-000000000000',
  '{0197a2b4-0000-7000-8000-000000000000}',
  '0197a2b400007000800000000000000f',
  '0197a2b4-0000-7000-8000-00000000000g',
  '0197a2b4-0000-7000-8000-000000000000\n',
];
const BAD_VALUES = {
  'half a surrogate pair in a value': { title: 'a\udc00' },
  'half a surrogate pair in a key': { 'a\ud800b': 1 },
  'half a surrogate pair, deep': { list: [{ text: ['\\\ud800'] }] },
  'the halves the wrong way round': { title: '\udc00\ud800' },
  NaN: { n: Number.NaN },
  infinity: { n: [Number.POSITIVE_INFINITY] },
  'negative infinity': { n: { m: Number.NEGATIVE_INFINITY } },
};
const METADATA_BYTES = JSON.stringify(newMetadata()).length;

/** Text that gives an event of `{ text }` this size in bytes; `letter` is a character of two bytes. */
function textFor(eventBytes: number, letter: string): string {
  const bytes = eventBytes - METADATA_BYTES - '{"text":""}'.length;
  return letter.repeat(Math.floor(bytes / 2)) + 'x'.repeat(bytes % 2);
}

export function refusalContract(test: LogTest): void {
  describe('append refuses', () => {
    for (const [what, stream] of Object.entries(BAD_STREAMS)) {
      test(`${what} for a stream`, async ({ log }) => {
        await expectLogError(log.append(stream, [newEvent()], 'any'), 'EVENT_INVALID');
      });
    }

    for (const type of BAD_TYPES) {
      test(`the type '${type}', which is not in the catalogue`, async ({ log }) => {
        await expectLogError(log.append(newStream(), [newEvent({ type })], 'any'), 'EVENT_INVALID');
      });
    }

    for (const id of BAD_IDS) {
      test(`the id ${JSON.stringify(id)}, which is no lower-case UUID`, async ({ log }) => {
        await expectLogError(log.append(newStream(), [newEvent({ id })], 'any'), 'EVENT_INVALID');
      });
    }

    for (const [what, data] of Object.entries(BAD_VALUES)) {
      test(`${what} in data`, async ({ log }) => {
        await expectLogError(log.append(newStream(), [newEvent({ data })], 'any'), 'EVENT_INVALID');
      });
    }

    test('half a surrogate pair in metadata', async ({ log }) => {
      const metadata = { ...newMetadata(), actor: '\ud83d' };
      await expectLogError(log.append(newStream(), [newEvent({ metadata })], 'any'), 'EVENT_INVALID');
    });

    test('no events', async ({ log }) => {
      await expectLogError(log.append(newStream(), [], 'any'), 'EVENT_INVALID');
    });

    test(`more than ${MAX_APPEND_EVENTS} events`, async ({ log }) => {
      await expectLogError(log.append(newStream(), newEvents(MAX_APPEND_EVENTS + 1), 'any'), 'EVENT_INVALID');
    });

    test('an event of more than 1 MiB, counted in bytes of UTF-8', async ({ log }) => {
      const stream = newStream();
      for (const letter of ['xx', 'é']) {
        const fits = newEvent({ data: { text: textFor(MAX_EVENT_BYTES, letter) } });
        const tooBig = newEvent({ data: { text: textFor(MAX_EVENT_BYTES + 1, letter) } });

        await expectLogError(log.append(stream, [tooBig], 'any'), 'EVENT_INVALID');
        await log.append(stream, [fits], 'any');

        const [stored] = await collect(log.readStream(stream, { direction: 'backward', limit: 1 }));
        expect(stored?.data).toEqual(fits.data);
      }
    });

    test('an append above the size limit, without advice to try again', async ({ log }) => {
      const data = { text: 'x'.repeat(200_000) };
      await expectLogError(log.append(newStream(), newEvents(MAX_APPEND_EVENTS, { data }), 'any'), 'EVENT_INVALID');
    });

    test('a complete append because of one bad event, and no other append', async ({ log }) => {
      const stream = newStream();
      const bad = newEvent({ data: { n: Number.NaN } });
      const [good, refused] = await Promise.allSettled([
        log.append(stream, [newEvent()], 'any'),
        log.append(stream, [newEvent(), newEvent(), bad], 'any'),
      ]);

      expect([good.status, refused.status]).toEqual(['fulfilled', 'rejected']);
      expect(await collect(log.readStream(stream))).toHaveLength(1);
    });

    test(`no name of up to ${MAX_STREAM_LENGTH} characters`, async ({ log }) => {
      const stream = `mission-${'x'.repeat(MAX_STREAM_LENGTH - 8)}`;
      await log.append(stream, [newEvent()], 'no-stream');
      expect(await collect(log.readStream(stream))).toHaveLength(1);
    });

    test('no text that only looks like half a surrogate pair', async ({ log }) => {
      const data = { '\\ud800': '\\\\udfff', pair: '\ud83d\ude80' };
      const stream = newStream();
      await log.append(stream, [newEvent({ data })], 'no-stream');
      expect((await collect(log.readStream(stream)))[0]?.data).toEqual(data);
    });
  });
}
