import { expect, it } from 'vitest';
import { hostsOf } from '../../../src/infra/cli/read-back.js';
import { readConfig } from '../../../src/infra/app/config.js';

it('hosts on other machines are not contacted with a key that is public or easy to guess', () => {
  const [known, short] = [readConfig({}), readConfig({ OFFGRID_AUTH_KEY: 'short' })];
  for (const config of [known, short])
    expect(() => hostsOf('http://storage.example:8787', config)).toThrow('OFFGRID_AUTH_KEY: must');
  expect(hostsOf('http://127.0.0.1:8787', known)).toHaveLength(1);
  const own = readConfig({ OFFGRID_AUTH_KEY: 'a key that only the test knows' });
  expect(hostsOf('http://storage.example:8787', own)).toHaveLength(1);
});
