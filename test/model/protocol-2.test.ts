import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { Untyped } from '../support/node.js';

const MODEL = join(import.meta.dirname, 'protocol-2/model.mjs');
/** How many histories of each family are played. */
const HISTORIES = process.env['MODEL_HISTORIES'] ?? '250';

async function play(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Untyped> {
  const { stdout } = await promisify(execFile)(process.execPath, [MODEL, ...args], { env: { ...process.env, ...env } });
  return JSON.parse(stdout);
}

describe('the model of protocol 2', () => {
  it.each(['F0', 'F1', 'F13', 'F2', 'F3', 'FV'])(
    'finds nothing wrong in family %s, with every nemesis',
    async (family) => {
      expect(await play([family, '1000001', HISTORIES], { NEM: 'all' })).toMatchObject({
        wrong: 0,
        histories: Number(HISTORIES),
      });
    },
  );

  it.each([
    ['F0', '2003369', { NEM: 'all', SWARM: '1' }],
    ['FV', '1005081', { NEM: 'all' }],
    ['FV', '1005108', {}],
  ])('finds nothing wrong in the earlier failing seed %s %s', async (family, seed, env) => {
    expect(await play([family, seed, '1'], env)).toMatchObject({ wrong: 0, histories: 1 });
  });

  it.each([
    ['noLogState', 'torn'],
    ['noRestoreQ', 'gone'],
    ['noSentAfter', 'race'],
    ['sharedQ', 'lease,race'],
  ])('finds faults without %s', async (rule, troubles) => {
    const { wrong } = await play(['F0', '500001', '1000', rule], { NEM: troubles });
    expect(wrong).toBeGreaterThan(0);
  });
});
