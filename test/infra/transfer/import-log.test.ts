import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ETYPES, isEventType } from '../../../src/domain/event.js';
import type { JsonObject } from '../../../src/domain/json.js';
import { canonicalJson } from '../../../src/infra/eventlog/canonical-json.js';
import type { EventLog, NewEvent } from '../../../src/infra/eventlog/eventlog.js';
import { readAddress } from '../../../src/infra/eventlog/eventstore/address.js';
import { EventStoreLog } from '../../../src/infra/eventlog/eventstore/eventstore-log.js';
import { exportLog } from '../../../src/infra/transfer/export-log.js';
import { fromLine, toLine } from '../../../src/infra/transfer/exported-event.js';
import { importLog } from '../../../src/infra/transfer/import-log.js';
import { newDataDir } from '../../support/core.js';
import { collect, newEvent, newMetadata } from '../../support/events.js';
import { tombstone } from '../../support/eventstore/operator.js';
import { StandIn } from '../../support/eventstore/stand-in.js';
import type { Untyped } from '../../support/node.js';
import { quiet } from '../../support/quiet.js';
import { newLog } from '../projector/support.js';
import { countsOf, Heard, history, importFolder, legacyFolder } from './support.js';

/** Exports a log to a file; returns its path. */
async function exported(log: EventLog): Promise<string> {
  const path = join(await newDataDir(), 'log.ndjson');
  const output = createWriteStream(path);
  await exportLog(log, output, { onProgress: () => undefined });
  output.end();
  await finished(output);
  return path;
}

/** A file of these lines. */
async function fileOf(lines: readonly (string | object)[]): Promise<string> {
  const path = join(await newDataDir(), 'log.ndjson');
  await writeFile(path, lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''));
  return path;
}

/** The event of a mission at a revision: created at 0, then renamed repeatedly. */
function eventAt(missionId: string, revision: number, title = 'A title'): NewEvent {
  if (revision > 0) return newEvent({ data: { missionId, title } });
  return newEvent({ type: 'MissionCreated', data: { missionId, title, description: '', metadata: {}, tags: [] } });
}

/** The first events of a mission, or the next ones. */
function eventsOf(missionId: string, count: number, from = 0): NewEvent[] {
  return Array.from({ length: count }, (_, i) => eventAt(missionId, from + i));
}

/** A line of an export, with an event of its own; `data` is added to the event's usual data. */
function eventLine(revision: number, { stream = 'mission-a', data = {}, ...given }: Untyped = {}): Untyped {
  const event = eventAt(stream.replace('mission-', ''), revision);
  const places = { stream, revision: String(revision), position: String(revision + 1) };
  const result = Array.isArray(data) ? data : { ...event.data, ...data };
  const etype = revision === 0 ? 10 : 11;
  return { ...event, ...places, etype, recordedAt: '2026-01-01T00:00:00.000Z', ...given, data: result };
}

async function linesOf(path: string): Promise<Untyped[]> {
  return (await readFile(path, 'utf8'))
    .trim()
    .split('\n')
    .map((line): Untyped => JSON.parse(line));
}

async function importFile(path: string, log: EventLog) {
  const heard = new Heard();
  const report = await importLog(path, log, heard);
  return { counts: countsOf([report])['log.ndjson'], bad: heard.bad, progress: heard.progress };
}

/** The parts of an event that are the same in every log. */
async function contentOf(log: EventLog) {
  return (await collect(log.readAll())).map(({ recordedAt: _, position: __, ...event }) => event);
}

describe('an import of an export', () => {
  it('adds the same events in the same order, with their ids, revisions, metadata and data', async () => {
    const source = await newLog();
    await importFolder(await legacyFolder(history(3, 3)), source);
    await source.append('mission-m1', [eventAt('m1', 1, 'é€😀 "\\ \u2028')], 0n);
    const target = await newLog();
    const { counts, bad } = await importFile(await exported(source), target);
    const events = await contentOf(source);
    expect(bad).toEqual([]);
    expect(counts).toEqual([events.length, events.length, 0, 0]);
    expect(await contentOf(target)).toEqual(events);
    expect(target.logId).not.toBe(source.logId);
  });

  it('gives them new positions after the events in the log', async () => {
    const source = await newLog();
    await source.append('mission-a', eventsOf('a', 2), 'no-stream');
    const target = await newLog();
    await target.append('mission-b', eventsOf('b', 5), 'no-stream');
    await importFile(await exported(source), target);
    expect((await collect(target.readStream('mission-a'))).map(({ position }) => position)).toEqual([6n, 7n]);
  });

  it('adds nothing the second time, nor into the log it came from', async () => {
    const source = await newLog();
    await importFolder(await legacyFolder(history(2, 2)), source);
    const path = await exported(source);
    const { length } = await contentOf(source);
    const target = await newLog();
    await importFile(path, target);
    for (const log of [target, source]) {
      expect((await importFile(path, log)).counts).toEqual([length, 0, length, 0]);
      expect(await log.head()).toBe(BigInt(length));
    }
  });

  it('resumes where it was interrupted', async () => {
    const source = await newLog();
    await importFolder(await legacyFolder(history(2, 2)), source);
    const path = await exported(source);
    const lines = await linesOf(path);
    const target = await newLog();
    await importFile(await fileOf(lines.slice(0, 9)), target);
    expect((await importFile(path, target)).counts).toEqual([lines.length, lines.length - 9, 9, 0]);
    expect(await contentOf(target)).toEqual(await contentOf(source));
  });

  it('imports dozens of events of the largest size, without exceeding the bytes that may wait in the log', async () => {
    const data = { description: 'x'.repeat(1_000_000) };
    const lines = Array.from({ length: 70 }, (_, i) => eventLine(0, { stream: `mission-${i}`, data }));
    expect((await importFile(await fileOf(lines), await newLog())).counts).toEqual([70, 70, 0, 0]);
  });

  it('reports its progress, in bytes up to the end of the file', async () => {
    const source = await newLog();
    await source.append('mission-a', eventsOf('a', 20), 'no-stream');
    const { progress } = await importFile(await exported(source), await newLog());
    expect(progress).toHaveLength(20);
    expect(progress.at(-1)![0]).toBe(progress.at(-1)![1]);
  });

  it('fails when the file is a folder', async () => {
    const path = join(await newDataDir(), 'log.ndjson');
    await mkdir(path);
    await expect(importFile(path, await newLog())).rejects.toMatchObject({ code: 'EISDIR' });
  });
});

describe('a line that was edited or truncated', () => {
  it('is reported with its number and what is wrong, and so are lines that then do not follow', async () => {
    const other = (given: object) => eventLine(0, { stream: 'mission-b', ...given });
    const bad: [line: string | object, reason: RegExp][] = [
      [JSON.stringify(eventLine(1)).slice(0, 80), /not JSON/],
      [eventLine(2), /^revision 2 of 'mission-a' does not follow/],
      [other({ type: 'MissionMade' }), /'MissionMade' \(10\) is not in the event catalogue/],
      [other({ etype: 12 }), /'MissionCreated' \(12\) is not in the event catalogue/],
      [other({ revision: 0 }), /^revision: /],
      [other({ revision: '-1' }), /^revision: must be digits/],
      [other({ id: 'x' }), /not an event id/],
      [other({ stream: 'nonsense', data: { missionId: 'b' } }), /'nonsense' is not the stream of this MissionCreated/],
      [other({ data: [] }), /^data: must be a JSON object/],
      [other({ metadata: {} }), /^metadata.at: .*; metadata.actor: /],
      [{}, /^id: .*; stream: .*; revision: .*; type: .*; etype: .*; data: .*; metadata: /],
      [other({ data: { description: 'x'.repeat(1024 * 1024) } }), /at most 1048576 bytes/],
      [other({ data: { title: undefined, tags: [1] } }), /^title: must be text; tags.0: /],
      [other({ data: { missionId: 'c' } }), /^'mission-b' is not the stream of this MissionCreated/],
      [other({ type: 'MissionUpdated', etype: 11 }), /^'mission-b' cannot have a MissionUpdated at revision 0/],
      [eventLine(1, { type: 'MissionCreated', etype: 10 }), /^title|description/],
    ];
    const log = await newLog();
    const path = await fileOf([eventLine(0), ...bad.map(([line]) => line), eventLine(0, { stream: 'mission-c' })]);
    const { counts, bad: result } = await importFile(path, log);
    expect(counts).toEqual([bad.length + 2, 2, 0, bad.length]);
    expect(result).toHaveLength(bad.length);
    for (const [i, [, reason]] of bad.entries()) {
      const [, number, message] = /^log\.ndjson:(\d+): (.*)$/s.exec(result[i]!)!;
      expect(Number(number)).toBe(i + 2);
      expect(message).toMatch(reason);
    }
    expect((await collect(log.readAll())).map(({ stream }) => stream)).toEqual(['mission-a', 'mission-c']);
  });

  it('is reported when a time does not have the one form in which times are compared', async () => {
    const times = [
      '2026-01-01T00:00:00Z',
      '2026-01-01T00:00:00.000000Z',
      '2026-01-01T00:00:00.000+00:00',
      '2026-01-01',
    ];
    const created = eventLine(0);
    const lines = times.map((at) => ({ ...created, metadata: { ...created.metadata, at } }));
    const { counts, bad } = await importFile(await fileOf(lines), await newLog());
    expect(counts).toEqual([4, 0, 0, 4]);
    const reason = 'metadata.at: must be a time in UTC such as 2026-01-01T00:00:00.000Z';
    expect(bad).toEqual(times.map((_, i) => `log.ndjson:${i + 1}: ${reason}`));
  });

  it('is reported when the log has that event with other content', async () => {
    const log = await newLog();
    await log.append('mission-a', eventsOf('a', 3), 'no-stream');
    const [first, second, third] = await linesOf(await exported(log));
    const edited = { ...second, data: { ...second.data, title: 'Another title' } };
    const later = { ...third, metadata: { ...third.metadata, at: '2030-01-01T00:00:00.000Z' } };
    const { counts, bad } = await importFile(await fileOf([first, edited, later]), log);
    expect(counts).toEqual([3, 0, 1, 2]);
    expect(bad).toEqual([
      `log.ndjson:2: the log already has event ${second.id}, with other content`,
      `log.ndjson:3: the log already has event ${third.id}, with other content`,
    ]);
  });

  it('is refused where the log has another event in its place, and so are all later lines of that stream', async () => {
    const source = await newLog();
    const common = eventsOf('a', 2);
    await source.append('mission-a', common, 'no-stream');
    await source.append('mission-a', eventsOf('a', 3, 2), 1n);
    await source.append('mission-b', eventsOf('b', 1), 'no-stream');
    const target = await newLog();
    await target.append('mission-a', common, 'no-stream');
    await target.append('mission-a', eventsOf('a', 1, 2), 1n);
    const before = await contentOf(target);
    const path = await exported(source);
    const bad = [
      `log.ndjson:3: 'mission-a' has another event in the log at revision 2: ${before[2]!.id}`,
      "log.ndjson:4: 'mission-a' has other events in the log, beginning at an earlier line",
      "log.ndjson:5: 'mission-a' has other events in the log, beginning at an earlier line",
    ];
    expect(await importFile(path, target)).toMatchObject({ counts: [6, 1, 2, 3], bad });
    expect(await importFile(path, target)).toMatchObject({ counts: [6, 0, 3, 3], bad });
    expect(await contentOf(target)).toEqual([...before, (await contentOf(source))[5]]);
  });

  it('is refused when a line before it is missing', async () => {
    const source = await newLog();
    await source.append('mission-a', eventsOf('a', 3), 'no-stream');
    const [first, , third] = await linesOf(await exported(source));
    const { counts, bad } = await importFile(await fileOf([first, third]), await newLog());
    expect(counts).toEqual([2, 1, 0, 1]);
    expect(bad).toEqual(["log.ndjson:2: revision 2 of 'mission-a' does not follow the events in the log"]);
  });

  it('is reported when it contains text that UTF-8 cannot encode, also for an event that the log has', async () => {
    const log = await newLog();
    await log.append('mission-a', eventsOf('a', 1), 'no-stream');
    const text = (await readFile(await exported(log), 'utf8')).trim().replace('A title', '\\ud800');
    for (const target of [log, await newLog()]) {
      expect(await importFile(await fileOf([text]), target)).toMatchObject({
        counts: [1, 0, 0, 1],
        bad: [expect.stringMatching(/^log\.ndjson:1: .*surrogate/)],
      });
    }
  });

  it('is refused where the stream was tombstoned', async () => {
    const source = await newLog();
    await source.append('mission-a', eventsOf('a', 1), 'no-stream');
    const server = await StandIn.start();
    const target = await EventStoreLog.open(readAddress(server.url), quiet);
    onTestFinished(async () => {
      await target.close();
      await server.stop();
    });
    tombstone(server, 'mission-a');
    const { bad } = await importFile(await exported(source), target);
    expect(bad).toEqual([expect.stringContaining('tombstoned')]);
  });
});

describe('a line of an export', () => {
  it('contains every part of an event, with any content', () => {
    const text = fc.string({ unit: 'grapheme' });
    const big = fc.bigInt({ min: 0n, max: 10n ** 18n - 1n });
    const recorded = fc.record({
      id: fc.uuid(),
      stream: text.map((id) => `mission-${id}`),
      revision: big,
      position: big,
      type: fc.constantFrom(...Object.keys(ETYPES).filter(isEventType)),
      data: fc.dictionary(text, fc.jsonValue()) as fc.Arbitrary<JsonObject>,
      actor: text,
    });
    fc.assert(
      fc.property(recorded, ({ actor, ...given }) => {
        const { id, stream, revision, type, data } = given;
        const metadata = { ...newMetadata(), actor };
        const whole = { ...given, etype: ETYPES[type], metadata, recordedAt: metadata.at };
        const result = fromLine(JSON.parse(toLine(whole)));
        expect({ stream: result.stream, revision: result.revision }).toEqual({ stream, revision });
        expect(canonicalJson(result.event)).toBe(canonicalJson({ id, type, data, metadata }));
      }),
    );
  });
});
