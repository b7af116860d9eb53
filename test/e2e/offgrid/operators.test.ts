import { createPublicKey, verify } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import { RootKey } from '../../../src/infra/crypto/root-key.js';
import { newDataDir, Sheratan } from '../../support/core.js';
import { History, Process } from '../../support/offgrid/by-hand.js';
import { AUTH_KEY, newHost } from '../../support/offgrid/host.js';
import { inHostFile } from '../../support/offgrid/host-file.js';
import { LyingHost, type LieName } from '../../support/offgrid/lying-host.js';
import {
  hostAt,
  newMission,
  recoveryKeyOf,
  replicating,
  restoreInto,
  retryHost,
  settled,
  settledMachine,
  statusOf,
  titlesOf,
} from '../../support/offgrid/machine.js';
import { copyOf } from '../../support/offgrid/replicating-core.js';
import { UnfriendlyLink } from '../../support/offgrid/unfriendly-link.js';
import { quietPort } from '../../support/ports.js';
import { Random } from '../../support/random.js';

const WAIT = { timeout: 60_000, interval: 50 };
const HOST = 'host-a';
const REPLICATED = { durability: 'REPLICATED' };

/** `sheratan host` in a process of its own. */
class HostCommand {
  readonly url: string;
  readonly #process: Sheratan;

  private constructor(process: Sheratan, port: number) {
    this.#process = process;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(dataDir: string, port: number, env: Readonly<Record<string, string>>): Promise<HostCommand> {
    const process = new Sheratan(['host', '--name', HOST, '--port', String(port)], dataDir, env);
    onTestFinished(() => process.kill());
    await expect
      .poll(() => process.output.join('\n') + process.errors.join('\n'), WAIT)
      .toMatch(/fingerprint|sheratan:/);
    return new HostCommand(process, port);
  }

  /** The fingerprint, as the host prints it. */
  get fingerprint(): string {
    return /fingerprint ([0-9a-f]{32})/.exec(this.#process.output.join('\n'))?.[1] ?? '';
  }

  /** How a test that speaks to it by hand names it. */
  async at() {
    const keys = (await (await fetch(`${this.url}/pubkeys`)).json()) as { ed25519_verify_key: string };
    return { url: this.url, identity: { id: this.fingerprint, verifyKey: keys.ed25519_verify_key } };
  }

  stop() {
    return this.#process.stop();
  }
}

/** Runs a command that must succeed. @returns what it printed */
async function done(args: readonly string[], dataDir: string, env: Readonly<Record<string, string>> = {}) {
  const { code, output, errors } = await Sheratan.run(args, dataDir, env);
  expect({ code, errors }).toEqual({ code: 0, errors: [] });
  return output.join('\n');
}

/** Runs a command that must be refused. @returns its error messages */
async function refused(args: readonly string[], dataDir: string, env: Readonly<Record<string, string>> = {}) {
  const { code, output, errors } = await Sheratan.run(args, dataDir, env);
  expect({ isRefused: code !== 0, output }).toEqual({ isRefused: true, output: [] });
  return errors.join('\n');
}

/** Hosts with a link to each, in this process. */
async function linked(count: number) {
  const hosts = await Promise.all(Array.from({ length: count }, () => newHost()));
  const links = await Promise.all(hosts.map(({ url }, i) => UnfriendlyLink.to(url, new Random(i + 1))));
  const pinned = links.map(({ url }, i) => `${url}#${hosts[i]?.identity.id ?? ''}`);
  return { hosts, links, urls: links.map(({ url }) => url), pinned };
}

describe('sheratan hosts key', () => {
  it('prints what a host needs to serve a core that has OFFGRID_AUTH_KEY, and no other host', async () => {
    const [dataDir, port] = [await newDataDir(), await quietPort()];
    const first = await HostCommand.start(dataDir, port, {});
    const { fingerprint } = first;
    await first.stop();
    const env = { OFFGRID_AUTH_KEY: AUTH_KEY };
    const key = await done(['hosts', 'key', fingerprint], dataDir, env);
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    const otherKey = await done(['hosts', 'key', '0'.repeat(32)], dataDir, env);

    // With the key of another host, it is not the host that the core expects.
    const wrong = await HostCommand.start(dataDir, port, { OFFGRID_HOST_KEY: otherKey });
    const core = await Sheratan.serve(await newDataDir(), replicating([`${wrong.url}#${fingerprint}`]));
    const unmet = { url: wrong.url, trouble: expect.stringContaining('another OFFGRID_AUTH_KEY') };
    await expect.poll(() => statusOf(core), WAIT).toMatchObject({ unmet: [unmet] });
    expect(await hostAt(core, wrong.url)).toBeUndefined();
    await wrong.stop();
    const right = await HostCommand.start(dataDir, port, { OFFGRID_HOST_KEY: key });
    expect(right.fingerprint).toBe(fingerprint);
    await settled(core);
    expect(await newMission(core, {}, 'REPLICATED')).toMatchObject(REPLICATED);
  });

  it('is refused for an invalid fingerprint, and while the key is the public default', async () => {
    const env = { OFFGRID_AUTH_KEY: AUTH_KEY };
    expect(await refused(['hosts', 'key', 'host-a'], '/nowhere', env)).toContain("'host-a' must be a fingerprint");
    expect(await refused(['hosts', 'key', '0'.repeat(32)], '/nowhere')).toContain('OFFGRID_AUTH_KEY is not set');
  });
});

/** The printed sides of the evidence: the name of each, and what was signed. */
function sidesOf(text: string): { what: string; content: Buffer; signature: Buffer; statement: string }[] {
  const side = /^([^\n]+):\n {2}content {4}([0-9a-f]+)\n {2}signature {2}([0-9a-f]{128})\n {2}([^\n]+)$/gm;
  return [...text.matchAll(side)].map(([, what = '', content = '', signature = '', statement = '']) => ({
    ...{ what, statement, content: Buffer.from(content, 'hex'), signature: Buffer.from(signature, 'hex') },
  }));
}

/** Whether an Ed25519 signature over a context and a content verifies, checked only with node. */
function verifies(kind: string, { content, signature }: { content: Buffer; signature: Buffer }, key: Buffer): boolean {
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: key.toString('base64url') };
  const signed = Buffer.concat([Buffer.from(`sheratan/2 ${kind}\n`), content]);
  return verify(null, signed, createPublicKey({ key: jwk, format: 'jwk' }), signature);
}

describe('sheratan hosts evidence', () => {
  it.each([
    { lie: 'inventedTree', kind: 'STATEMENT', other: undefined },
    { lie: 'forgetful', kind: 'BATCH', other: 'tree' },
    { lie: 'oldTree', kind: 'RANK', other: 'head' },
  ] satisfies readonly { lie: LieName; kind: string; other: string | undefined }[])(
    'prints what a host has signed ($lie, $kind) with what that contradicts, and anyone can verify it',
    async ({ lie, kind, other }) => {
      const [honest, host] = [await newHost(), await newHost()];
      const liar = await LyingHost.of(host);
      const { core, dataDir } = await settledMachine([honest.url, liar.url]);
      await newMission(core);
      await settled(core, 3);
      liar.lie = lie;
      await newMission(core);
      await expect.poll(async () => (await hostAt(core, liar.url)).state, WAIT).toBe('SUSPENDED');
      const text = await done(['hosts', 'evidence', liar.id], dataDir);
      expect(text).toContain(`host ${liar.id} at ${liar.url}, ${kind}, `);
      const [head, against, ...more] = sidesOf(text);
      expect(more).toEqual([]);
      const originKey = Buffer.from(
        /verify key {4}(\w{64})/.exec(await done(['keys', 'export'], dataDir))?.[1] ?? '',
        'hex',
      );
      const hostKey = Buffer.from(host.identity.verifyKey, 'base64');
      expect(head?.what).toBe('its head');
      expect(head?.statement).toMatch(/^verifies {4}\{.*"origin":"core-v2"/);
      expect(head && verifies('head', head, hostKey)).toBe(true);
      if (other === undefined) expect(against).toBeUndefined();
      else {
        expect(against?.statement).toMatch(/^verifies {4}\{/);
        expect(against && verifies(other, against, other === 'head' ? hostKey : originKey)).toBe(true);
      }
      const nothing = await Sheratan.run(['hosts', 'evidence', honest.identity.id], dataDir);
      expect(nothing.code).toBe(1);
      expect(nothing.output).toEqual([expect.stringContaining(`There is no proof against host ${honest.identity.id}`)]);
    },
  );
});

describe('hosts that must sign are lost permanently', () => {
  it('begin-line makes a running core continue with new ones, once its name is typed; nothing is lost', async () => {
    const { hosts, urls } = await linked(3);
    const { core: before, dataDir } = await settledMachine(urls);
    await newMission(before, { title: 'on three' });
    await settled(before, 3);
    await before.stop();
    for (const host of hosts.slice(0, 2)) await host.close();
    const fresh = [await newHost(), await newHost()];
    const env = replicating([urls[2] ?? '', ...fresh.map(({ url }) => url)]);
    const core = await Sheratan.serve(dataDir, env);
    await newMission(core, { title: 'meanwhile' });
    // The policy with the new hosts was never at quorum: the one before it is in play as well.
    await expect
      .poll(() => statusOf(core), WAIT)
      .toMatchObject({ line: 1, elected: false, missingWeight: 1, quorumSequence: 3, stopped: null, unmet: [] });
    expect(await refused(['hosts', 'begin-line', 'core-v1'], dataDir, env)).toContain('core-v2');
    expect(await statusOf(core)).toMatchObject({ line: 1, elected: false });

    // A copy of the folder has the address of the original's core.
    const copy = await copyOf(dataDir);
    expect(await refused(['hosts', 'begin-line', 'core-v2'], copy, env)).toContain(
      `runs on ${dataDir}, not on ${copy}`,
    );
    expect(await statusOf(core)).toMatchObject({ line: 1, elected: false });

    expect(await done(['hosts', 'begin-line', 'core-v2'], dataDir, env)).toMatch(/^Line 2 begins/);
    await expect.poll(() => statusOf(core), WAIT).toMatchObject({ line: 2, elected: true });
    expect(await newMission(core, { title: 'after' }, 'REPLICATED')).toMatchObject(REPLICATED);
    expect(await settled(core, 7)).toMatchObject({ line: 2, stopped: null });

    // The new hosts alone give everything back.
    const key = await recoveryKeyOf(dataDir);
    const elsewhere = await newDataDir();
    const named = fresh.map(({ url, identity }) => `${url}#${identity.id}`);
    expect(await restoreInto(elsewhere, key, named)).toMatchObject({ code: 0 });
    await core.kill();
    const again = await Sheratan.serve(elsewhere, env);
    expect(await titlesOf(again)).toEqual(['after', 'meanwhile', 'on three']);
  });

  it('restore --accept-loss restores what is available, once its name is typed, and the core continues in line 2', async () => {
    const { hosts, urls, pinned } = await linked(3);
    const { core: lost, dataDir } = await settledMachine(urls);
    await newMission(lost, { title: 'on three' });
    await settled(lost, 3);
    const key = await recoveryKeyOf(dataDir);
    await lost.kill();
    for (const host of hosts.slice(0, 2)) await host.close();
    const left = pinned.slice(2);
    const elsewhere = await newDataDir();
    const without = await restoreInto(elsewhere, key, left);
    expect(without.code).not.toBe(0);
    expect(without.errors.join('\n')).toMatch(/too few hosts were verified.*--accept-loss/);
    const wrong = await restoreInto(elsewhere, key, left, '--accept-loss', 'core-v1');
    expect(wrong.code).not.toBe(0);
    expect(wrong.errors.join('\n')).toContain("--accept-loss: 'core-v1' must be 'core-v2', the origin");
    expect(existsSync(corePaths(elsewhere).log)).toBe(false);

    const accepted = await restoreInto(elsewhere, key, left, '--accept-loss', 'core-v2');
    expect(accepted).toMatchObject({ code: 0 });
    expect(accepted.output.join('\n')).toMatch(/LOSS ACCEPTED .+\nline {10}2 begins/);
    const fresh = [await newHost(), await newHost()];
    const core = await Sheratan.serve(elsewhere, replicating([urls[2] ?? '', ...fresh.map(({ url }) => url)]));
    expect(await newMission(core, { title: 'after' }, 'APPENDED')).toMatchObject({ durability: 'APPENDED' });
    expect(await settled(core, 5)).toMatchObject({ line: 2, elected: true, stopped: null });
    expect(await titlesOf(core)).toEqual(['after', 'on three']);
  });
});

describe('sheratan writer resume', () => {
  it('makes a halted core check again: it continues once the host that showed the other history is gone', async () => {
    const { links, urls, pinned } = await linked(3);
    const [tail, near, far] = links as [UnfriendlyLink, UnfriendlyLink, UnfriendlyLink];
    const { core: before, dataDir } = await settledMachine(urls);
    await newMission(before, { title: 'on three' });
    await settled(before, 3);
    expect(await refused(['writer', 'resume'], dataDir)).toContain(
      'This core is not halted: there is nothing to resume.',
    );
    for (const link of [near, far]) link.cut();
    await newMission(before, { title: 'on one' });
    await expect.poll(async () => (await hostAt(before, tail.url)).sequence, WAIT).toBe(4);
    const key = await recoveryKeyOf(dataDir);
    await before.kill();
    for (const link of [near, far]) link.mend();
    tail.cut();
    const elsewhere = await newDataDir();
    expect(await restoreInto(elsewhere, key, pinned)).toMatchObject({ code: 0 });

    // The host with the other history answers, and without it too few hosts answer.
    tail.mend();
    far.cut();
    const core = await Sheratan.serve(elsewhere, replicating(urls));
    const stopped = async () => (await statusOf(core)).stopped?.code;
    // The other history is of the epoch that was restored.
    await expect.poll(stopped, WAIT).toBe('FORKED');
    const { writerEpoch } = await statusOf(core);
    expect(await done(['writer', 'resume'], elsewhere)).toContain('checked again');
    // Nothing has changed, so the result is the same.
    await expect.poll(stopped, WAIT).toBe('FORKED');

    tail.cut();
    far.mend();
    expect(await done(['writer', 'resume'], elsewhere)).toContain('checked again');
    await expect.poll(() => statusOf(core), WAIT).toMatchObject({ stopped: null, elected: true, line: 1 });
    expect((await statusOf(core)).writerEpoch).toBeGreaterThan(writerEpoch);
    expect(await newMission(core, { title: 'after' }, 'REPLICATED')).toMatchObject(REPLICATED);
    expect(await titlesOf(core)).toEqual(['after', 'on three']);
  });
});

describe('a name that another party has claimed first at a host', () => {
  it('is free again after host reset-key, and its space after host drop-evidence; neither works while the host runs', async () => {
    const [dataDir, port] = [await newDataDir(), await quietPort()];
    const env = { OFFGRID_AUTH_KEY: AUTH_KEY };
    const start = () => HostCommand.start(dataDir, port, env);
    const host = await start();
    const history = History.begin(RootKey.generate()).on(3);
    const otherCore = new Process(history.root);
    await otherCore.claim(await host.at());
    await otherCore.ship(await host.at(), history);
    const honest = await newHost();
    const own = await Sheratan.serve(await newDataDir(), replicating([honest.url, host.url]));
    await expect
      .poll(() => hostAt(own, host.url), WAIT)
      .toMatchObject({ state: 'BLOCKED', why: expect.stringContaining('sheratan host reset-key --origin core-v2') });

    const reset = ['host', 'reset-key', '--origin', 'core-v2', '--name', HOST];
    const drop = ['host', 'drop-evidence', '--origin', 'core-v2', '--name', HOST];
    for (const command of [reset, drop])
      expect(await refused(command, dataDir, env)).toMatch(/A host runs in .*Stop it first/);
    await host.stop();
    expect(await refused(['host', 'reset-key', '--origin', 'core-v9', '--name', HOST], dataDir)).toContain('core-v9');
    expect(await done(reset, dataDir)).toMatch(/^The key [0-9a-f]{64} is no longer pinned for 'core-v2' at host-a/);

    const again = await start();
    await retryHost(own, again.fingerprint);
    const { headSequence } = await settled(own);
    await expect.poll(() => hostAt(own, host.url), WAIT).toMatchObject({ state: 'ACTIVE', sequence: headSequence });
    await again.stop();
    const held = async () => {
      const [row] = await inHostFile<{ events: number; used: number }>(
        join(dataDir, HOST),
        "SELECT (SELECT count(*) FROM events) AS events, (SELECT bytes FROM totals WHERE name = 'used') AS used",
      );
      return row ?? { events: 0, used: 0 };
    };
    const before = await held();
    expect(before.events).toBe(Number(headSequence) + 3);
    const [, events, bytes] =
      /^(\d+) events of 'core-v2' that were set aside.* (\d+) bytes are free/.exec(await done(drop, dataDir)) ?? [];
    expect(Number(events)).toBe(3);
    // What it has signed for remains.
    expect(await held()).toEqual({ events: headSequence, used: before.used - Number(bytes) });
    await start();
    await retryHost(own, again.fingerprint);
    expect(await newMission(own, {}, 'REPLICATED')).toMatchObject(REPLICATED);
  });
});
