import { describe, expect, it } from 'vitest';
import { assertTokens, ConfigError, readConfig } from '../../../src/infra/app/config.js';

const TOKEN = 'a-token-of-23-characters';
/** The verify key of an origin, from the examples of RFC 8032. */
const ORIGIN_KEY = '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c';

function refusal(env: Readonly<Record<string, string>>): string {
  try {
    readConfig(env);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    const { name, message } = error as ConfigError;
    expect(name).toBe('ConfigError');
    expect(message).not.toContain('\n');
    return message;
  }
  throw new Error('it was accepted');
}

describe('the configuration', () => {
  it('of an empty environment describes a node on loopback', () => {
    expect(readConfig({})).toEqual({
      dataDir: './data',
      bind: '127.0.0.1',
      port: 8001,
      apiTokens: [],
      introspection: true,
      logLevel: 'info',
      offgrid: {
        enabled: true,
        origin: 'core-v2',
        hosts: [
          { url: 'http://127.0.0.1:8081', weight: 1 },
          { url: 'http://127.0.0.1:8082', weight: 1 },
        ],
        brokerUrl: 'http://127.0.0.1:9000',
        authKey: 'shared-secret',
        hostKey: undefined,
        origins: new Map(),
        requiredAcks: undefined,
        dishonestWeight: 0,
        keyPassphrase: undefined,
        replicatedTimeoutMs: 10_000,
        chunkThreshold: 1_024,
        hostBudgetBytes: 1_024 * 1024 * 1024,
      },
    });
  });

  it('treats empty settings as unset', () => {
    const names = ['DATA_DIR', 'BIND', 'PORT', 'API_TOKENS', 'INTROSPECTION', 'LOG_LEVEL'];
    const empty = Object.fromEntries(names.map((name) => [`SHERATAN_${name}`, '']));
    expect(readConfig(empty)).toEqual(readConfig({}));
    expect(readConfig({ SHERATAN_PORT: undefined })).toEqual(readConfig({}));
  });

  it('ignores variables that are not settings', () => {
    expect(readConfig({ PATH: '/bin', PORT: 'x', SHERATAN: 'y' })).toEqual(readConfig({}));
  });

  it('is frozen', () => {
    expect(Object.isFrozen(readConfig({}))).toBe(true);
  });
});

describe('the settings of the hosts', () => {
  it('name each by URL, with its key and its weight', () => {
    const fingerprint = '0123456789abcdef0123456789abcdef';
    const env = {
      OFFGRID_STORAGE_HOSTS: `http://127.0.0.1:1/, http://localhost:2#${fingerprint}*3`,
      OFFGRID_REQUIRED_ACKS: '4',
    };
    expect(readConfig(env).offgrid).toMatchObject({
      hosts: [
        { url: 'http://127.0.0.1:1', weight: 1 },
        { url: 'http://localhost:2', weight: 3, fingerprint },
      ],
      requiredAcks: 4,
    });
  });

  it.each([
    ['OFFGRID_STORAGE_HOSTS', 'ftp://a', /must be http/],
    ['OFFGRID_STORAGE_HOSTS', 'http://127.0.0.1:1/path', /must be http/],
    ['OFFGRID_STORAGE_HOSTS', 'http://127.0.0.1:1#abc', /fingerprints of 32/],
    ['OFFGRID_STORAGE_HOSTS', 'http://127.0.0.1:1*0', /weights of 1/],
    ['OFFGRID_STORAGE_HOSTS', 'http://127.0.0.1:1,http://127.0.0.1:1', /each host once/],
    [
      'OFFGRID_STORAGE_HOSTS',
      Array.from({ length: 33 }, (_, i) => `http://127.0.0.1:${i + 1}`).join(','),
      /at most 32/,
    ],
    ['OFFGRID_REQUIRED_ACKS', '3', /at most the weight of all OFFGRID_STORAGE_HOSTS, 2/],
    ['OFFGRID_REQUIRED_ACKS', '0', /whole number/],
    [
      'OFFGRID_REQUIRED_ACKS',
      '1',
      /more than half of the weight of all OFFGRID_STORAGE_HOSTS, 2.*OFFGRID_ALLOW_MINORITY=true/,
    ],
    ['OFFGRID_ALLOW_MINORITY', 'yes', /true or false/],
    ['OFFGRID_DISHONEST_WEIGHT', '-1', /whole number/],
    ['OFFGRID_DISHONEST_WEIGHT', '2', /less than the weight that must sign, 2:/],
    ['OFFGRID_BROKER_URL', 'nowhere', /must be http/],
    ['OFFGRID_STORAGE_ENABLED', 'yes', /true or false/],
    ['OFFGRID_CHUNK_THRESHOLD', '1.5', /whole number/],
    ['OFFGRID_HOST_BUDGET_MB', '0', /whole number/],
    ['SHERATAN_ORIGIN', '../x', /must be 1–64/],
    ['SHERATAN_REPLICATED_TIMEOUT', '0', /must be seconds/],
    ['OFFGRID_ORIGINS', 'core-v2', /must be name=key/],
    ['OFFGRID_ORIGINS', `../x=${ORIGIN_KEY}`, /must be name=key/],
    ['OFFGRID_ORIGINS', `core-v2=${ORIGIN_KEY.slice(2)}`, /must be name=key/],
    ['OFFGRID_ORIGINS', `core-v2=${ORIGIN_KEY},`, /must be name=key/],
    // A key of small order: every signature would verify under it.
    ['OFFGRID_ORIGINS', `core-v2=01${'00'.repeat(31)}`, /must be name=key/],
    ['OFFGRID_ORIGINS', `core-v2=${ORIGIN_KEY},core-v2=${ORIGIN_KEY}`, /each origin once/],
  ])('refuse %s=%s', (name, value, message) => {
    expect(refusal({ [name]: value })).toMatch(new RegExp(`^${name}: `));
    expect(refusal({ [name]: value })).toMatch(message);
  });

  it('do not show a passphrase that is too short', () => {
    expect(refusal({ SHERATAN_KEY_PASSPHRASE: 'hunter2' })).toBe(
      'SHERATAN_KEY_PASSPHRASE: it must have at least 8 characters',
    );
  });

  it('may require less than a majority only where this is explicitly permitted', () => {
    const env = { OFFGRID_REQUIRED_ACKS: '1', OFFGRID_ALLOW_MINORITY: 'true' };
    expect(readConfig(env).offgrid).toMatchObject({ requiredAcks: 1 });
    expect(refusal({ ...env, OFFGRID_ALLOW_MINORITY: 'false' })).toMatch(
      /^OFFGRID_REQUIRED_ACKS: '1' must be more than half/,
    );
    // Exactly half of the weight is not enough: two halves could each sign another history.
    const four = { OFFGRID_STORAGE_HOSTS: 'http://127.0.0.1:1*3,http://127.0.0.1:2' };
    expect(refusal({ ...four, OFFGRID_REQUIRED_ACKS: '2' })).toMatch(/more than half of the weight .*, 4:/);
    expect(readConfig({ ...four, OFFGRID_REQUIRED_ACKS: '3' }).offgrid).toMatchObject({ requiredAcks: 3 });
  });

  it('set the weight of hosts that may be dishonest, which must be less than the weight that must sign', () => {
    const env = { OFFGRID_DISHONEST_WEIGHT: '1' };
    expect(readConfig(env).offgrid).toMatchObject({ dishonestWeight: 1 });
    expect(refusal({ ...env, OFFGRID_REQUIRED_ACKS: '1', OFFGRID_ALLOW_MINORITY: 'true' })).toMatch(
      /^OFFGRID_DISHONEST_WEIGHT: '1' must be less than the weight that must sign, 1:/,
    );
    expect(refusal({ ...env, OFFGRID_STORAGE_HOSTS: 'http://127.0.0.1:1' })).toMatch(/^OFFGRID_DISHONEST_WEIGHT: /);
  });

  it('name the origins that a host serves, each with its key', () => {
    const other = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';
    const { origins } = readConfig({ OFFGRID_ORIGINS: ` core-v2=${ORIGIN_KEY} ,van-1=${other}` }).offgrid;
    expect([...origins].map(([name, key]) => [name, Buffer.from(key).toString('hex')])).toEqual([
      ['core-v2', ORIGIN_KEY],
      ['van-1', other],
    ]);
  });

  it('may give a host its own key alone, which is not shown when it is invalid', () => {
    const key = '0123456789abcdef'.repeat(4);
    const { hostKey } = readConfig({ OFFGRID_HOST_KEY: key }).offgrid;
    expect(Buffer.from(hostKey ?? []).toString('hex')).toBe(key);
    for (const bad of [key.slice(1), `${key}0`, key.toUpperCase(), 'a passphrase'])
      expect(refusal({ OFFGRID_HOST_KEY: bad })).toBe(
        'OFFGRID_HOST_KEY: it must be 64 hexadecimal digits, as `sheratan hosts key` prints them',
      );
  });

  it.each([
    ['a host', { OFFGRID_STORAGE_HOSTS: 'http://10.0.0.7:8081' }],
    ['one of several hosts', { OFFGRID_STORAGE_HOSTS: 'http://127.0.0.1:8081,http://10.0.0.7:8081' }],
    ['the broker', { OFFGRID_BROKER_URL: 'http://10.0.0.7:9000' }],
  ])('require a key that is neither public nor easy to guess, where %s is on another machine', (_who, env) => {
    expect(refusal(env)).toMatch(/^OFFGRID_AUTH_KEY: must be set/);
    const short = refusal({ ...env, OFFGRID_AUTH_KEY: 'fifteen letters' });
    expect(short).toMatch(/^OFFGRID_AUTH_KEY: must have at least 16 characters beyond loopback/);
    expect(short).not.toContain('fifteen');
    expect(readConfig({ ...env, OFFGRID_AUTH_KEY: 'sixteen letters!' }).offgrid.authKey).toBe('sixteen letters!');
  });

  it('accept any key where everything is on this machine', () => {
    expect(readConfig({ OFFGRID_AUTH_KEY: 'short' }).offgrid.authKey).toBe('short');
  });
});

describe('SHERATAN_EVENTSTORE_URL', () => {
  it('names the server that holds the log; without it the log is a file', () => {
    expect(readConfig({ SHERATAN_EVENTSTORE_URL: 'esdb://node:2113?tls=false' }).eventStore?.shown).toBe(
      'esdb://node:2113',
    );
    expect(readConfig({ SHERATAN_EVENTSTORE_URL: '' }).eventStore).toBeUndefined();
  });

  it('is also read by its earlier name, unless it is set', () => {
    const [EVENTSTORE_URL, SHERATAN_EVENTSTORE_URL] = ['esdb://old', 'esdb://new'];
    expect(readConfig({ EVENTSTORE_URL }).eventStore?.shown).toBe('esdb://old:2113');
    expect(readConfig({ EVENTSTORE_URL, SHERATAN_EVENTSTORE_URL }).eventStore?.shown).toBe('esdb://new:2113');
    expect(readConfig({ EVENTSTORE_URL: 'no address', SHERATAN_EVENTSTORE_URL }).eventStore?.shown).toBe(
      'esdb://new:2113',
    );
    expect(refusal({ EVENTSTORE_URL: 'http://admin:changeit@node' })).toMatch(/^EVENTSTORE_URL: it must be esdb:/);
  });

  it.each([
    ['http://admin:changeit@node:2113', /^SHERATAN_EVENTSTORE_URL: it must be esdb:/],
    [
      'esdb://admin:changeit@node:2113?tsl=false',
      /^SHERATAN_EVENTSTORE_URL: it has the unknown option 'tsl'; the options are tls, /,
    ],
  ])('is refused when it is %s, and its password not shown', (url, message) => {
    expect(refusal({ SHERATAN_EVENTSTORE_URL: url })).toMatch(message);
    expect(refusal({ SHERATAN_EVENTSTORE_URL: url })).not.toContain('changeit');
  });
});

describe('SHERATAN_DATA_DIR', () => {
  it.each(['/var/lib/sheratan', 'a folder with spaces', '.'])('may be %s', (dataDir) => {
    expect(readConfig({ SHERATAN_DATA_DIR: dataDir })).toMatchObject({ dataDir });
  });
});

describe('SHERATAN_BIND', () => {
  it.each(['127.0.0.1', '127.1.2.3', '::1', 'localhost'])('may be %s without tokens', (bind) => {
    const config = readConfig({ SHERATAN_BIND: bind });
    expect(config).toMatchObject({ bind, apiTokens: [], introspection: true });
    expect(() => assertTokens(config)).not.toThrow();
  });

  it.each(['0.0.0.0', '::', '192.168.1.7', 'node-3.example.org', '128.0.0.1', '::ffff:127.0.0.1', 'localhost.example'])(
    'may be %s for a core only with tokens, and for others without',
    (bind) => {
      expect(() => assertTokens(readConfig({ SHERATAN_BIND: bind }))).toThrow(
        `SHERATAN_API_TOKENS: must be set (token:role[,…], roles viewer, worker, operator) because SHERATAN_BIND is beyond loopback: '${bind}'`,
      );
      const config = readConfig({ SHERATAN_BIND: bind, SHERATAN_API_TOKENS: `${TOKEN}:viewer` });
      expect(config).toMatchObject({ bind });
      expect(() => assertTokens(config)).not.toThrow();
    },
  );

  it.each(['a b', 'http://localhost', '127.0.0.1/8', 'host_name', ' '])('may not be %j', (bind) => {
    expect(refusal({ SHERATAN_BIND: bind })).toBe(`SHERATAN_BIND: '${bind}' must be an address or a host name`);
  });
});

describe('SHERATAN_PORT', () => {
  it.each([
    ['0', 0],
    ['1', 1],
    ['8080', 8_080],
    ['65535', 65_535],
  ])('may be %s', (text, port) => {
    expect(readConfig({ SHERATAN_PORT: text })).toMatchObject({ port });
  });

  it.each(['65536', '99999', '-1', '80.5', '1e3', '0x50', 'http', ' 80', '8 0'])('may not be %j', (text) => {
    expect(refusal({ SHERATAN_PORT: text })).toBe(`SHERATAN_PORT: '${text}' must be a port: 0–65535`);
  });
});

describe('SHERATAN_API_TOKENS', () => {
  const rule =
    'SHERATAN_API_TOKENS: it must be token:role[,…]: tokens of 16–200 letters, digits or . _ ~ + / = -, roles viewer, worker, operator';

  it('may be a token of any role', () => {
    for (const role of ['viewer', 'worker', 'operator']) {
      expect(readConfig({ SHERATAN_API_TOKENS: `${TOKEN}:${role}` }).apiTokens).toEqual([{ token: TOKEN, role }]);
    }
  });

  it('may be several, with spaces around them', () => {
    const tokens = ` ${TOKEN}-1 : viewer , ${TOKEN}-2:operator,${TOKEN}-3:viewer`;
    expect(readConfig({ SHERATAN_API_TOKENS: tokens }).apiTokens).toEqual([
      { token: `${TOKEN}-1`, role: 'viewer' },
      { token: `${TOKEN}-2`, role: 'operator' },
      { token: `${TOKEN}-3`, role: 'viewer' },
    ]);
  });

  it.each(['x'.repeat(16), 'x'.repeat(200), 'AZaz09._~+/=-AZaz'])('may be %s', (token) => {
    expect(readConfig({ SHERATAN_API_TOKENS: `${token}:worker` }).apiTokens).toEqual([{ token, role: 'worker' }]);
  });

  it.each([
    ['without a role', TOKEN],
    ['of an empty role', `${TOKEN}:`],
    ['of an unknown role', `${TOKEN}:admin`],
    ['of a role in another case', `${TOKEN}:Viewer`],
    ['that is too short', `${'x'.repeat(15)}:viewer`],
    ['that is too long', `${'x'.repeat(201)}:viewer`],
    ['that is missing', ':viewer'],
    ['with a space in it', 'a token of many parts:viewer'],
    ['with a colon in it', `${TOKEN}:${TOKEN}:viewer`],
    ['of other letters', `${'ü'.repeat(20)}:viewer`],
    ['followed by nothing', `${TOKEN}:viewer,`],
    ['that is invalid beside a valid one', `${TOKEN}:viewer,secret:operator`],
  ])('may not be one %s, which is not shown', (_what, tokens) => {
    expect(refusal({ SHERATAN_API_TOKENS: tokens })).toBe(rule);
  });
});

describe('SHERATAN_INTROSPECTION', () => {
  const beyond = { SHERATAN_BIND: '0.0.0.0', SHERATAN_API_TOKENS: `${TOKEN}:viewer` };

  it('is on where only loopback is bound, and off otherwise', () => {
    expect(readConfig({})).toMatchObject({ introspection: true });
    expect(readConfig({ SHERATAN_API_TOKENS: `${TOKEN}:viewer` })).toMatchObject({ introspection: true });
    expect(readConfig(beyond)).toMatchObject({ introspection: false });
  });

  it('is what it is set to', () => {
    expect(readConfig({ SHERATAN_INTROSPECTION: 'false' })).toMatchObject({ introspection: false });
    expect(readConfig({ ...beyond, SHERATAN_INTROSPECTION: 'true' })).toMatchObject({ introspection: true });
  });

  it.each(['yes', '1', 'TRUE', 'on'])('may not be %s', (text) => {
    expect(refusal({ SHERATAN_INTROSPECTION: text })).toBe(`SHERATAN_INTROSPECTION: '${text}' must be true or false`);
  });
});

describe('SHERATAN_LOG_LEVEL', () => {
  it.each(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])('may be %s', (logLevel) => {
    expect(readConfig({ SHERATAN_LOG_LEVEL: logLevel })).toMatchObject({ logLevel });
  });

  it.each(['verbose', 'INFO', '30'])('may not be %s', (text) => {
    expect(refusal({ SHERATAN_LOG_LEVEL: text })).toBe(
      `SHERATAN_LOG_LEVEL: '${text}' must be one of fatal, error, warn, info, debug, trace, silent`,
    );
  });
});
