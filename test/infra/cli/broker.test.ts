import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { RunBrokerOptions } from '../../../src/infra/cli/broker.js';
import { CONFIG_EXIT_CODE } from '../../../src/infra/cli/errors.js';
import { systemClock } from '../../../src/infra/platform/clock.js';
import { BrokerClient } from '../../../src/infra/offgrid/broker/client.js';
import { AUTH_KEY, newBroker, newFolder } from '../../support/broker/broker.js';
import { Sheratan } from '../../support/core.js';

/** Runs the built program; `npm test` builds it first. */
const PROGRAM = `
  import { runBroker } from './dist/infra/cli/broker.js';
  process.exitCode = await runBroker(JSON.parse(process.argv[1]), console.log);
`;

/** How many records are answered before the broker is killed. */
const ENOUGH = 50;

function optionsFor(dataDir: string, policy?: string): RunBrokerOptions {
  const fixed = { name: 'broker', bind: '127.0.0.1', port: 0, authKey: AUTH_KEY, logLevel: 'silent' };
  return { ...fixed, dataDir, policy };
}

/** A broker in a process of its own, killed at the end of the test at the latest. */
async function start(
  options: RunBrokerOptions,
): Promise<{ child: ChildProcessByStdio<null, Readable, null>; client: BrokerClient }> {
  const args = ['--input-type=module', '-e', PROGRAM, JSON.stringify(options)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const [, url = ''] = /^Broker is at (\S+)$/.exec(line) ?? [];
  return { child, client: new BrokerClient({ url, authKey: AUTH_KEY, clock: systemClock }) };
}

describe('`sheratan broker`', () => {
  it('keeps all that it answered after it was killed, and stops on a signal', async () => {
    const dataDir = await newFolder();
    const { child, client } = await start(optionsFor(dataDir, '{"weight_default": 2}'));
    const answered: string[] = [];
    const working = Array.from({ length: 8 }, async (_, worker) => {
      for (let round = 0; ; round += 1) {
        const id = `${worker}-${round}`;
        await client.create({ id, kind: 'replica', required: 2, meta: {} });
        await client.ack({ id, kind: 'replica', nodeId: 'host-a' });
        answered.push(id);
        if (answered.length === ENOUGH) child.kill('SIGKILL');
      }
    });
    await Promise.allSettled(working);
    expect(answered.length).toBeGreaterThanOrEqual(ENOUGH);

    const again = await start(optionsFor(dataDir));
    const records = answered.map((id) => again.client.create({ id, kind: 'replica', required: 1, meta: {} }));
    for (const record of await Promise.all(records)) {
      expect(record).toMatchObject({ required: 2, finalized: true, acks: [{ id: 'host-a', w: 2 }] });
    }
    again.child.kill('SIGTERM');
    expect(await once(again.child, 'exit')).toEqual([0, null]);
  });

  it('does not start with an unusable policy, and reports why', async () => {
    const dataDir = await newFolder();
    const file = join(dataDir, 'policy.json');
    await writeFile(file, '{"max_age_s": "long"}');
    const errorsOf = async (policy: string) => {
      const { code, errors } = await Sheratan.run(['broker', '--port', '0', '--policy', policy], dataDir);
      expect(code).toBe(CONFIG_EXIT_CODE);
      return errors.join('\n');
    };
    expect(await errorsOf(file)).toBe(
      `sheratan: ${file}: The quorum policy is invalid: max_age_s must be seconds, 0–3153600000; 0 for none`,
    );
    expect(await errorsOf('{')).toMatch(/^sheratan: The quorum policy is not JSON: /);
    expect(await errorsOf(join(dataDir, 'missing.json'))).toMatch(/cannot be read: .*ENOENT/);
  });

  it('does not start where another broker runs, and reports this', async () => {
    const dataDir = await newFolder();
    await newBroker(systemClock, { dataDir });
    const { code, errors } = await Sheratan.run(['broker', '--port', '0'], dataDir);
    expect(code).toBe(CONFIG_EXIT_CODE);
    expect(errors.join('\n')).toMatch(/Another broker runs on this folder/);
  });
});
