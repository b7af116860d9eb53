import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RecordedEvent } from '../../../src/domain/event.js';
import type { Clock } from '../../../src/infra/platform/clock.js';
import { Commands } from '../../../src/infra/commands/commands.js';
import { type CommandContext, inputHash } from '../../../src/infra/commands/context.js';
import { CommandHandler } from '../../../src/infra/commands/handler.js';
import type { EmbeddedLog } from '../../../src/infra/eventlog/embedded/embedded-log.js';
import { exportLog } from '../../../src/infra/transfer/export-log.js';
import { rebase } from '../../../src/infra/transfer/rebase.js';
import { OF_COMMANDS } from '../../../src/infra/transfer/unreplicated.js';
import { collect } from '../../support/events.js';
import { LogFolder } from '../../support/log-folder.js';
import { Heard } from './support.js';

/** The time of the exported events, and the time of the rebase. */
const THEN = '2026-03-04T05:06:07.000Z';
const LATER = '2026-03-04T06:00:00.000Z';
const NOW: Clock = { now: () => new Date('2026-05-01T00:00:00.000Z') };
const BY: CommandContext = { actor: 'operator:1f2e3d4c', correlationId: 'a request', at: THEN };
const WORKER: CommandContext = { actor: 'worker:99aabbcc', correlationId: 'a claim', at: LATER };

let folder: LogFolder;
/** The log of the core that was stopped, and the log that replaced it. */
let old: EmbeddedLog;
let log: EmbeddedLog;

beforeEach(async () => {
  folder = await LogFolder.create();
  old = await folder.open(join(folder.path, 'old.db'));
  log = await folder.open();
});

afterEach(() => folder.remove());

function commandsOn(on: EmbeddedLog): Commands {
  return new Commands(new CommandHandler(on, NOW));
}

function dispatch(on: EmbeddedLog, jobId: string, worker: string, context = BY, seconds = 60) {
  return commandsOn(on).dispatchJob(jobId, worker, seconds, inputHash({ jobId, worker }), context);
}

/** A mission with a task, which both logs have. */
async function beginning(on: EmbeddedLog): Promise<void> {
  const commands = commandsOn(on);
  await commands.createMission({ id: 'm', title: 'Kept' }, BY);
  await commands.createTask({ id: 't', missionId: 'm', name: 'A task', kind: 'change' }, BY);
}

/** A file with the events of the old log after its shared beginning. */
async function exported(after = 2n): Promise<string> {
  const path = join(folder.path, 'unreplicated.ndjson');
  const output = createWriteStream(path);
  await exportLog(old, output, { onProgress: () => undefined }, { after, filter: OF_COMMANDS });
  output.end();
  await finished(output);
  return path;
}

async function rebased(path: string) {
  const heard = new Heard();
  const { read, added, present, bad, setAside } = await rebase(path, log, commandsOn(log), heard);
  return { counts: { read, added, present, refused: bad, setAside }, refusals: heard.bad };
}

/** The content, time and actor of events, without their commands. */
function contentOf(events: readonly RecordedEvent[]) {
  return events.map(({ stream, type, data, metadata: { at, actor } }) => ({ stream, type, data, at, actor }));
}

async function all(of: EmbeddedLog, after = 0n): Promise<RecordedEvent[]> {
  return collect(of.readAll({ after }));
}

describe('the events of a core that are not at quorum', () => {
  beforeEach(async () => {
    await beginning(old);
    await beginning(log);
  });

  it('are decided again on another log, each command with its original time and actor', async () => {
    const commands = commandsOn(old);
    await commands.createMission({ id: 'n', title: 'New', tags: ['x'], metadata: { a: 1 } }, BY);
    await commands.updateMission('m', { description: 'More' }, BY);
    await commands.createTask({ id: 'u', missionId: 'n', name: 'Another' }, BY);
    await commands.updateTask('t', { params: { step: 2 } }, BY);
    for (const jobId of ['done', 'failed', 'cancelled', 'expired'])
      await commands.createJob({ id: jobId, taskId: 't', payload: { jobId }, priority: 3, maxAttempts: 2 }, BY);
    await dispatch(old, 'done', 'w1');
    await commands.completeJob({ jobId: 'done', worker: 'w1', attempt: 1 }, { ok: true }, 2.5, WORKER);
    await dispatch(old, 'failed', 'w2');
    const failure = { reason: 'BROKE', message: 'It broke', retryable: true };
    await commands.failJob({ jobId: 'failed', worker: 'w2', attempt: 1 }, failure, WORKER);
    await dispatch(old, 'failed', 'w1', WORKER);
    await commands.cancelJob('cancelled', 'No longer wanted', BY);
    await dispatch(old, 'expired', 'w3', BY, 30);
    await commands.expireLease('expired', 1, { ...WORKER, actor: 'process:lease-expiry' });
    await commands.closeMission('n', 'COMPLETED', 'Enough', WORKER);

    expect(await rebased(await exported())).toEqual({
      counts: { read: 17, added: 17, present: 0, refused: 0, setAside: 0 },
      refusals: [],
    });
    expect(contentOf(await all(log, 2n))).toEqual(contentOf(await all(old, 2n)));
    const ids = new Set((await all(old)).map(({ id }) => id));
    expect((await all(log)).filter(({ id }) => ids.has(id))).toEqual([]);
  });

  it('change nothing when they are imported again, even after other changes', async () => {
    await commandsOn(old).updateMission('m', { title: 'First' }, BY);
    await commandsOn(old).updateMission('m', { title: 'Second' }, BY);
    await commandsOn(old).createJob({ id: 'j', taskId: 't' }, BY);
    const path = await exported();
    // The first of them changes nothing here, and so leaves no record.
    await commandsOn(log).updateMission('m', { title: 'First' }, BY);
    expect((await rebased(path)).counts).toEqual({ read: 3, added: 2, present: 1, refused: 0, setAside: 0 });
    await commandsOn(log).cancelJob('j', '', BY);
    const before = await all(log);
    expect((await rebased(path)).counts).toEqual({ read: 3, added: 0, present: 3, refused: 0, setAside: 0 });
    expect(await all(log)).toEqual(before);
  });

  it('change nothing when the log that imported them is exported and imported back', async () => {
    await commandsOn(old).updateMission('m', { title: 'First' }, BY);
    await rebased(await exported());
    const there = join(folder.path, 'there.ndjson');
    const output = createWriteStream(there);
    await exportLog(log, output, { onProgress: () => undefined }, { after: 2n, filter: OF_COMMANDS });
    output.end();
    await finished(output);
    await commandsOn(log).updateMission('m', { title: 'Since' }, BY);
    const before = await all(log);
    expect((await rebased(there)).counts).toEqual({ read: 1, added: 0, present: 1, refused: 0, setAside: 0 });
    expect(await all(log)).toEqual(before);
  });

  it('are recorded where the rules still allow it, and refused elsewhere, line by line with the reason', async () => {
    await commandsOn(old).createMission({ id: 'n', title: 'Theirs' }, BY);
    await commandsOn(old).createMission({ id: 'o', title: 'Fine' }, BY);
    await commandsOn(old).updateTask('t', { name: 'Renamed' }, BY);
    const path = await exported();
    await commandsOn(log).createMission({ id: 'n', title: 'Ours' }, BY);
    await commandsOn(log).closeMission('m', 'CANCELLED', '', BY);
    const { counts, refusals } = await rebased(path);
    expect(counts).toEqual({ read: 3, added: 1, present: 0, refused: 2, setAside: 0 });
    expect(refusals).toEqual([
      "unreplicated.ndjson:1: Mission 'n' already exists.",
      "unreplicated.ndjson:3: Mission 'm' is closed (CANCELLED) and accepts no more changes, tasks or jobs.",
    ]);
    expect((await rebased(path)).refusals).toEqual(refusals);
  });

  it('are recognized where the other log has them under their own ids, because a host had them after all', async () => {
    await commandsOn(old).createMission({ id: 'n', title: 'Kept by one' }, BY);
    await commandsOn(old).createTask({ id: 'u', missionId: 'n', name: 'Not kept' }, BY);
    const [created] = await all(old, 2n);
    await log.append('mission-n', [created!], 'no-stream');
    expect((await rebased(await exported())).counts).toEqual({
      read: 2,
      added: 1,
      present: 1,
      refused: 0,
      setAside: 0,
    });
  });

  it("never apply one worker's answer to an attempt that another worker has", async () => {
    for (const on of [old, log]) await commandsOn(on).createJob({ id: 'j', taskId: 't', maxAttempts: 3 }, BY);
    await dispatch(old, 'j', 'w1');
    await commandsOn(old).failJob(
      { jobId: 'j', worker: 'w1', attempt: 1 },
      { reason: 'R', message: '', retryable: true },
      BY,
    );
    await dispatch(old, 'j', 'w1', WORKER);
    await commandsOn(old).completeJob({ jobId: 'j', worker: 'w1', attempt: 2 }, 'theirs', undefined, WORKER);
    await dispatch(log, 'j', 'w2');
    const path = await exported(3n);
    const { counts, refusals } = await rebased(path);
    expect(counts).toEqual({ read: 4, added: 0, present: 0, refused: 4, setAside: 0 });
    expect(refusals.map((refusal) => /^[^:]+:\d: (Job|Worker) '(j|w1)'/.exec(refusal)?.[1])).toEqual([
      'Job',
      'Worker',
      'Job',
      'Worker',
    ]);

    const failure = { reason: 'R', message: '', retryable: true };
    await commandsOn(log).failJob({ jobId: 'j', worker: 'w2', attempt: 1 }, failure, BY);
    const again = await rebased(path);
    expect(again.refusals[0]).toMatch(/:1: Job 'j' has had 1 attempts in this log: the next attempt is 2, not 1\.$/);
    expect(again.counts).toEqual({ read: 4, added: 2, present: 0, refused: 2, setAside: 0 });
  });

  it('exclude damaged lines, which are refused, and those about the other installation, which are set aside', async () => {
    await old.append('replication-x', [{ ...(await all(old))[0]!, type: 'HostStateChanged', data: {} }], 'any');
    const hole = { origin: 'x', sequence: 3, etype: 14, ts: 0, eid: '00'.repeat(32) };
    await old.append('job-a', [{ ...(await all(old))[0]!, type: 'HistoryHole', data: hole }], 'any');
    const path = join(folder.path, 'unreplicated.ndjson');
    const output = createWriteStream(path);
    await exportLog(old, output, { onProgress: () => undefined }, { after: 2n });
    output.end('{"id":\n');
    await finished(output);
    const { counts, refusals } = await rebased(path);
    expect(counts).toEqual({ read: 3, added: 0, present: 0, refused: 1, setAside: 2 });
    expect(refusals).toEqual([expect.stringContaining(':3: the line is not JSON')]);
  });
});
