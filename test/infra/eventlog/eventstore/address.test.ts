import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AddressError, readAddress } from '../../../../src/infra/eventlog/eventstore/address.js';
import { certificateFor } from '../../../support/eventstore/certificates.js';

const FORM = 'must be esdb://[user:password@]host[:port][,host…][?tls=false&…]';
const { authorityFile } = certificateFor('localhost');

function refusal(url: string): string {
  try {
    readAddress(url);
  } catch (error) {
    if (error instanceof AddressError) return error.message;
    throw error;
  }
  throw new Error(`'${url}' was taken`);
}

describe('an invalid address', () => {
  const NO_HOST = (text: string) => `${FORM}; '${text}' is not host[:port]`;
  const NO_LOGIN = `${FORM}; the text before the @ is not user:password`;
  const NO_OPTION = /^has (the|an) unknown option( '\w+')?; the options are tls, tlsCAFile, .*, streamPrefix$/;
  it.each<[string, string | RegExp]>([
    ['', FORM],
    ['localhost:2113', FORM],
    ['http://localhost:2113', FORM],
    ['ESDB://localhost', FORM],
    ['esdb://', FORM],
    ['esdb:///?tls=false', FORM],
    ['esdb://there/path', FORM],
    ['esdb://there:0', NO_HOST('there:…')],
    ['esdb://there:65536', NO_HOST('there:…')],
    ['esdb://there:port', NO_HOST('there:…')],
    ['esdb://[::1]:2113', NO_HOST('[:…')],
    ['esdb://the re', NO_HOST('the re')],
    ['esdb://there,', NO_HOST('')],
    ['esdb://there&tls=false', NO_HOST('there&tls=false')],
    ['esdb+discover://there,elsewhere', 'has +discover and several hosts; +discover needs exactly one name'],
    ['esdb://there?tls', NO_OPTION],
    ['esdb://there?tsl=false', NO_OPTION],
    ['esdb://there?throwOnAppendFailure=false', NO_OPTION],
    ['esdb://there?constructor=1', NO_OPTION],
    ['esdb://there?__proto__=1', NO_OPTION],
    ['esdb://there?&', NO_OPTION],
    ['esdb://there?tls=yes', "has tls='yes'; it must be true or false"],
    ['esdb://there?tls=true&TLS=false', 'has tls twice'],
    ['esdb://there?tlsVerifyCert=false', /^has tlsVerifyCert=false, which is not supported; .* tlsCAFile=$/],
    ['esdb://there?tlsCAFile=/no/such/file', "has tlsCAFile='/no/such/file'; the file does not exist"],
    [`esdb://there?userKeyFile=${authorityFile}`, /^has only one of userCertFile and userKeyFile/],
    ['esdb://there?nodePreference=best', /^has nodePreference='best'; it must be leader, follower,/],
    ['esdb://there?keepAliveInterval=-2', /^has keepAliveInterval='-2'; it must be a number of milliseconds/],
    ['esdb://there?keepAliveTimeout=1.5', /^has keepAliveTimeout='1.5'; it must be/],
    ['esdb://there?defaultDeadline=0', /^has defaultDeadline='0'; it must be/],
    ['esdb://there?maxDiscoverAttempts=0', /^has maxDiscoverAttempts='0'; it must be/],
    ['esdb://there?streamPrefix=', /^has streamPrefix=''; it must be/],
    ['esdb://there?streamPrefix=Ours', /^has streamPrefix='Ours'; it must be/],
    [`esdb://there?streamPrefix=${'a'.repeat(33)}`, /^has streamPrefix=/],
    ['esdb://me@there', NO_LOGIN],
    ['esdb://me:@there', NO_LOGIN],
    ['esdb://there,me:secret@elsewhere', NO_LOGIN],
  ])('is refused: %s', (url, message) => {
    if (typeof message === 'string') expect(refusal(url)).toBe(message);
    else expect(refusal(url)).toMatch(message);
  });

  it.each([
    'esdb://me:swordfish',
    'esdb://me:swordfish,there',
    'esdb://me:20061980',
    'esdb://me:swordfish@',
    'esdb://:swordfish@there',
    'esdb://there,me:swordfish@elsewhere',
    'esdb://me:sword@swordfish@there',
    'esdb://me:swordfish/@there',
    'esdb://me:swordfish?@there',
    'esdb://me?:swordfish@there',
    'esdb://me:x?swordfish@there',
    'esdb://me:swordfish%@there',
    'esdb://me:swordfish@there?tls=maybe',
    'esdb://me:swordfish@there:port',
    'esdb://me:swordfish@there?what=ever',
    'esdb://me:swordfish@there#fragment?',
    'me:swordfish@there',
    'http://me:swordfish@there',
  ])('is refused without its password: %s', (url) => {
    expect(refusal(url)).not.toMatch(/swordfish|20061980/);
  });
});

describe('an address', () => {
  it.each([
    ['esdb://there', 'esdb://there:2113', false],
    [' esdb://there/ ', 'esdb://there:2113', false],
    ['kurrentdb://there:1', 'esdb://there:1', false],
    ['kdb://10.0.0.1:65535/?tls=false', 'esdb://10.0.0.1:65535', false],
    ['esdb://a,b:2,c_d.example:3', 'esdb://a:2113,b:2,c_d.example:3', true],
    ['esdb+discover://cluster.example', 'esdb+discover://cluster.example:2113', true],
    ['esdb://me:swordfish@there', 'esdb://there:2113', false],
  ])('%s is shown as %s', (url, shown, isCluster) => {
    expect(readAddress(url)).toMatchObject({ shown, isCluster });
  });

  it('has TLS by default', () => {
    expect(readAddress('esdb://there').tls).toBeDefined();
    expect(readAddress('esdb://there?tls=true').tls).toBeDefined();
    expect(readAddress('esdb://there?TLS=false').tls).toBeUndefined();
  });

  it('accepts options in every spelling', () => {
    const url = `esdb://there?tls_ca_file=${encodeURIComponent(authorityFile)}&Keep-Alive-Interval=20000&streamprefix=our.&tlsVerifyCert=true&NODEPREFERENCE=Read_Only_Replica`;
    expect(readAddress(url)).toMatchObject({
      streamPrefix: 'our.',
      connectionName: 'sheratan',
      keepAliveIntervalMs: 20_000,
      discovery: { preference: 'readonlyreplica' },
    });
  });

  it('makes the hosts of a cluster be asked once, and not for long, by default', () => {
    for (const url of ['esdb://a,b', 'esdb+discover://a']) {
      expect(readAddress(url).discovery).toMatchObject({ preference: 'leader', attempts: 1, timeoutMs: 2_000 });
      expect(readAddress(`${url}?gossipTimeout=9`).discovery).toMatchObject({ attempts: 1, timeoutMs: 9_000 });
    }
  });

  it('keeps user and password unchanged, with any characters, and has none without TLS', () => {
    for (const [username, password] of [
      ['me', 'a:b@c%d/e?f#g&h=i'],
      ['me@example.org', '::'],
      ['ä', '密码 '],
    ] as const) {
      const login = [username, password].map(encodeURIComponent).join(':');
      expect(readAddress(`esdb://${login}@there`).login).toEqual({ username, password });
      expect(readAddress(`esdb://${login}@there?tls=false`).login).toBeUndefined();
    }
    expect(readAddress('esdb://me:a:b@there').login).toEqual({ username: 'me', password: 'a:b' });
  });
});

describe('files of certificates', () => {
  const fileOf = async (text: string | Buffer) => {
    const folder = await mkdtemp(join(tmpdir(), 'sheratan-certificates-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, 'file.pem');
    await writeFile(file, text);
    return file;
  };
  const withFiles = (files: Readonly<Record<string, string>>) =>
    `esdb://there?${Object.entries(files)
      .map(([name, file]) => `${name}=${encodeURIComponent(file)}`)
      .join('&')}`;

  it('are taken when they belong together', async () => {
    const { certificate, key } = certificateFor('localhost');
    const [userCertFile, userKeyFile] = [await fileOf(certificate), await fileOf(key)];
    const address = readAddress(withFiles({ tlsCAFile: authorityFile, userCertFile, userKeyFile }));
    expect(address).toMatchObject({ hasUserCertificate: true });
  });

  it('are refused when an authority is no certificate, in whole or in part', async () => {
    const authority = await readFile(authorityFile, 'utf8');
    for (const text of [
      '',
      'garbage',
      certificateFor('localhost').key,
      authority.slice(0, 300),
      authority.replace('MI', 'II'),
    ]) {
      const file = await fileOf(text);
      expect(refusal(withFiles({ tlsCAFile: file }))).toMatch(
        /^has tlsCAFile='.*', which is not a certificate in PEM form \(.+\)$/,
      );
    }
    expect(refusal(withFiles({ tlsCAFile: tmpdir() }))).toMatch(/^has tlsCAFile='.*', which cannot be read \(EISDIR/);
  });

  it('are refused when the certificate of a user and its key do not belong together', async () => {
    const userCertFile = await fileOf(certificateFor('localhost').certificate);
    for (const key of [certificateFor('elsewhere').key, 'garbage']) {
      const userKeyFile = await fileOf(key);
      expect(refusal(withFiles({ userCertFile, userKeyFile }))).toMatch(
        /^has userCertFile='.*' and userKeyFile='.*', which are not a certificate and its private key in PEM form \(.+\)$/,
      );
      expect(refusal(withFiles({ userCertFile: userKeyFile, userKeyFile }))).toMatch(
        /^has userCertFile='.*', which is not a certificate in PEM form \(.+\)$/,
      );
    }
  });
});
