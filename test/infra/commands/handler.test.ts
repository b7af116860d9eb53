import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/infra/platform/clock.js';
import { Commands } from '../../../src/infra/commands/commands.js';
import type { CommandContext } from '../../../src/infra/commands/context.js';
import { CommandHandler, type Outcome } from '../../../src/infra/commands/handler.js';
import type { EventLog } from '../../../src/infra/eventlog/eventlog.js';
import { expectLogError } from '../../support/events.js';
import { TestClock } from '../../support/node.js';
import { newLog } from '../projector/support.js';

const context: CommandContext = { actor: 'tester', correlationId: 'test' };
const MISSION_ID = 'm';

/** The commands of one process, which has its own cache of the log's streams. */
const commandsOf = (log: EventLog, clock = systemClock) => new Commands(new CommandHandler(log, clock));

/** The result of a command that was carried out. */
function done<S>(outcome: Outcome<S>) {
  if (!outcome.done) throw new Error(outcome.problem.message);
  return outcome;
}

describe('a command that changes nothing in the state that a process remembers', () => {
  it('is decided again with the events that another process has written since: no update is lost', async () => {
    const log = await newLog();
    const [here, there] = [commandsOf(log), commandsOf(log)];
    done(await here.createMission({ id: MISSION_ID, title: 'Ours' }, context));
    done(await there.updateMission(MISSION_ID, { title: 'Theirs' }, context));
    const { state, revision } = done(await here.updateMission(MISSION_ID, { title: 'Ours' }, context));
    expect({ state, revision }).toMatchObject({ state: { title: 'Ours' }, revision: 2n });
  });

  it('does not prevent the expiry of a lease that another process gave', async () => {
    const log = await newLog();
    const clock = new TestClock();
    const [here, there] = [commandsOf(log, clock), commandsOf(log, clock)];
    done(await here.createMission({ id: MISSION_ID, title: 'A mission' }, context));
    done(await here.createTask({ id: 't', missionId: MISSION_ID, name: 'A task' }, context));
    done(await here.createJob({ id: 'j', taskId: 't' }, context));
    done(await there.dispatchJob('j', 'w', 1, '', context));
    clock.advance(1_000);
    expect(done(await here.expireLease('j', 1, context)).state).toMatchObject({ status: 'PENDING', attempt: 1 });
  });
});

describe('commands for one stream', () => {
  it('are refused while 1,000 wait', async () => {
    const log = await newLog();
    const commands = commandsOf(log);
    done(await commands.createMission({ id: MISSION_ID, title: 'A mission' }, context));
    const update = () => commands.updateMission(MISSION_ID, { title: 'A mission' }, context);
    const waiting = Array.from({ length: 1_001 }, update);
    const refused = update();
    await expectLogError(refused, 'LOG_OVERLOADED');
    await expect(refused).rejects.toThrow("1,000 commands wait for 'mission-m'; try again in a moment.");
    for (const outcome of await Promise.all(waiting)) expect(outcome.done).toBe(true);
    expect((await update()).done).toBe(true);
  });
});
