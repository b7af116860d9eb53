import { expect, it, vi } from 'vitest';
import { told } from './seeds.js';
import { simulate } from './simulate.js';

vi.mock('../../src/infra/crypto/signing.js', () => import('./quick-signing.js'));
vi.mock('../../src/infra/offgrid/protocol/transfer-size.js', () => import('./small-transfers.js'));

it.each([
  [1004904, 'F0'],
  [1008624, 'F0'],
  [1013988, 'F0'],
  [1014120, 'F0'],
] as const)('what seed %i of family %s has found once does not come back', async (seed, family) => {
  // They were found when cores were not parted from one another.
  const options = { family, more: { part: 0 } };
  const outcome = await simulate(seed, options);
  expect(outcome.failure === undefined ? '' : await told(outcome, options)).toBe('');
});
