import { describe, expect, it } from 'vitest';
import { mission } from '../../../src/domain/mission.js';
import { States } from '../../../src/infra/commands/states.js';
import { newEvent, newMetadata } from '../../support/events.js';
import { newLog } from '../projector/support.js';

const STREAM = 'mission-m';
const MISSION = { missionId: 'm', title: 'A mission', description: '', metadata: {}, tags: [] };

const created = () => newEvent({ type: 'MissionCreated', data: MISSION });
const updated = (description: string) => newEvent({ data: { missionId: 'm', description } });
/** An event of a command that carried an idempotency key. */
const keyed = (key: string) =>
  newEvent({ data: { missionId: 'm', title: key }, metadata: { ...newMetadata(), idempotency: { key, hash: key } } });

describe('the states of streams', () => {
  it('are cached by their own size, not by the size of their streams', async () => {
    const log = await newLog();
    const large = 'x'.repeat(1_000_000);
    await log.append(STREAM, [created()], 'no-stream');
    for (let i = 0; i < 4; i += 1) {
      await log.append(
        STREAM,
        Array.from({ length: 10 }, () => updated(large)),
        'exists',
      );
    }
    const states = new States(log);
    const loaded = await states.load(mission, STREAM);
    expect(loaded.revision).toBe(40n);
    expect(states.remembered(mission, STREAM)).toBe(loaded);
    expect(await states.load(mission, STREAM)).toBe(loaded);
  });

  it('know every key of their streams, without a copy of all for each', async () => {
    const log = await newLog();
    const [first, ...others] = ['a', 'b', 'c'].map(keyed);
    await log.append(STREAM, [created(), first!], 'no-stream');
    const states = new States(log);
    const before = await states.load(mission, STREAM);
    await log.append(STREAM, others, 1n);
    const after = await states.load(mission, STREAM);
    const revisions = [...after.keyed].map(([id, { hash, revision }]) => [id, hash, revision]);
    expect(revisions).toEqual([
      [first!.id, 'a', 1n],
      [others[0]!.id, 'b', 2n],
      [others[1]!.id, 'c', 3n],
    ]);
    expect(after.keyed).toBe(before.keyed);
  });

  it('are not changed by a hole, because the lost change is unknown', async () => {
    const log = await newLog();
    const data = { origin: 'o', sequence: 3, etype: 11, ts: 0, eid: '00'.repeat(32) };
    await log.append(STREAM, [created(), newEvent({ type: 'HistoryHole', data }), updated('after')], 'no-stream');
    const { state, revision } = await new States(log).load(mission, STREAM);
    expect([state, revision]).toMatchObject([{ title: 'A mission', description: 'after' }, 2n]);
  });
});
