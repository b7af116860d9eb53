import { expect, it, vi } from 'vitest';
import { play, seedsOf } from './seeds.js';

vi.mock('../../src/infra/crypto/signing.js', () => import('./quick-signing.js'));
vi.mock('../../src/infra/offgrid/protocol/transfer-size.js', () => import('./small-transfers.js'));

const seeds = seedsOf('second');

it(
  'cores, their hosts and those who read back keep every promise, in other seeds',
  { timeout: seeds.timeout },
  async () => {
    const { failures, tally } = await play(seeds);
    expect(failures).toBe('');
    expect(tally.isConclusive).toBe(true);
  },
);
