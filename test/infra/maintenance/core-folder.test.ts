import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { missions } from '../../../src/projections/missions.js';
import type { HostAddress } from '../../../src/infra/offgrid/protocol/settings.js';
import { readKeyring } from '../../../src/infra/crypto/keyring-file.js';
import { EmbeddedLog } from '../../../src/infra/eventlog/embedded/embedded-log.js';
import type { EventLog } from '../../../src/infra/eventlog/eventlog.js';
import type { BuiltModel } from '../../../src/infra/maintenance/build-models.js';
import { drill } from '../../../src/infra/maintenance/drill.js';
import { hasLostEvents, deleteProjection, replay } from '../../../src/infra/maintenance/replay.js';
import { restoreCore, type RestoreWatch } from '../../../src/infra/maintenance/restore-core.js';
import { RestoreError } from '../../../src/infra/offgrid/restore/errors.js';
import { systemClock } from '../../../src/infra/platform/clock.js';
import { corePathsIn } from '../../../src/infra/platform/core-paths.js';
import { Connection } from '../../../src/infra/sqlite/connection.js';
import { quiet } from '../../support/quiet.js';
import { ORIGIN } from '../../support/offgrid/by-hand.js';
import { AUTH_KEY, newFolder } from '../../support/offgrid/host.js';
import { replicatedEvents, threeHosts } from '../../support/offgrid/three-hosts.js';

/** A core with replicated missions, which is stopped, and what a restore of it needs. */
async function stoppedCore(count: number) {
  const { a, b, c, root, core, length, all: events } = await threeHosts({ events: count });
  const hosts: HostAddress[] = [a, b, c].map(({ url, id }) => ({ url, weight: 1, fingerprint: id }));
  const request = { root, hosts, origin: ORIGIN, authKey: AUTH_KEY, dishonestWeight: 0 };
  const withLog = async <R>(work: (log: EventLog) => Promise<R>) => {
    const log = await EmbeddedLog.open(join(core.folder, 'log.db'), systemClock);
    return work(log).finally(() => log.close());
  };
  return { request, length, events, folder: core.folder, withLog };
}

/** What a restore reports, by the order of its steps. */
class Steps implements RestoreWatch {
  readonly steps: string[] = [];
  readonly built: BuiltModel[] = [];
  digest = '';
  readonly onProgress = () => undefined;
  readonly onTrouble = () => undefined;
  readonly onSkipped = () => undefined;
  readonly onRead = () => {
    this.steps.push('read');
  };
  readonly onBuilt = (model: BuiltModel) => {
    this.steps.push(model.name);
    this.built.push(model);
  };
  readonly onModels = (digest: string) => {
    this.steps.push('models');
    this.digest = digest;
  };
}

const DEPENDENCIES = { clock: systemClock, logger: quiet };

describe('a restored core', () => {
  it('has the log, the read models, the keyring and the writer of the lost one', async () => {
    const { request, length, events } = await stoppedCore(20);
    const folder = join(await newFolder(), 'core');
    const watch = new Steps();
    expect(await restoreCore({ ...request, folder, passphrase: undefined }, watch, DEPENDENCIES)).toBe(length);
    expect(watch.steps).toEqual(['read', 'missions', 'outbox', 'models']);
    expect(watch.built.map(({ skipped, stoppedAt }) => [skipped, stoppedAt])).toEqual([
      [0, undefined],
      [0, undefined],
    ]);
    const paths = corePathsIn(folder);
    expect(existsSync(paths.writer)).toBe(true);
    expect((await readKeyring(paths.keyring, undefined))?.id).toBe(request.root.id);
    const log = await EmbeddedLog.open(paths.log, systemClock);
    expect(await replicatedEvents(log)).toEqual(events);
    const { digest } = await replay(
      { path: paths.missions, projection: missions, log, prune: true },
      () => undefined,
      quiet,
    );
    await log.close();
    expect(digest).toBe(watch.digest);
  });

  it('is not there when nothing may be read, nor in the place of another', async () => {
    const { request } = await stoppedCore(1);
    const folder = join(await newFolder(), 'core');
    const alone = { ...request, hosts: request.hosts.slice(0, 1), folder, passphrase: undefined };
    await expect(restoreCore(alone, new Steps(), DEPENDENCIES)).rejects.toThrow(RestoreError);
    expect(existsSync(folder)).toBe(false);
    expect(existsSync(`${folder}.restoring`)).toBe(false);

    const taken = await newFolder();
    await writeFile(join(taken, 'log.db'), 'a log');
    const over = { ...request, folder: taken, passphrase: undefined };
    await expect(restoreCore(over, new Steps(), DEPENDENCIES)).rejects.toThrow(/is not empty \(it has log\.db\)/);
    expect(await readdir(taken)).toEqual(['log.db']);
  });
});

describe('a drill', () => {
  it('compares what hosts give back with the events, the quorum and the digest of a core', async () => {
    const { request, length, withLog } = await stoppedCore(5);
    const dataDir = await newFolder();
    const asked = { ...request, dataDir, quorum: length, withLog };
    const same = await drill(asked, new Steps(), systemClock);
    expect(same).toMatchObject({ verdict: 'SAME', length });
    expect(same).toMatchObject({ theirs: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(await drill({ ...asked, quorum: length + 1 }, new Steps(), systemClock)).toMatchObject({
      verdict: 'TOO_FEW',
    });

    const empty = await EmbeddedLog.open(join(await newFolder(), 'log.db'), systemClock);
    const older = await drill({ ...asked, withLog: (work) => work(empty) }, new Steps(), systemClock);
    await empty.close();
    expect(older).toEqual({ verdict: 'OLDER', same: 0, length });

    const { withLog: ofAnother } = await stoppedCore(5);
    expect(await drill({ ...asked, withLog: ofAnother }, new Steps(), systemClock)).toEqual({
      verdict: 'OTHER_EVENT',
      same: 0,
    });
    expect(await readdir(dataDir)).toEqual([]);
  });
});

describe('a replay', () => {
  it('builds a file that does not exist, rebuilds one that does, and shows which log lost events', async () => {
    const { withLog } = await stoppedCore(3);
    const path = join(await newFolder(), 'missions.db');
    const seen: bigint[] = [];
    const build = () =>
      withLog((log) =>
        replay({ path, projection: missions, log, prune: false }, (position) => seen.push(position), quiet),
      );
    const first = await build();
    expect(seen.at(-1)).toBe(first.position);
    expect(await build()).toEqual(first);
    expect(await withLog((log) => hasLostEvents(path, log))).toBe(false);

    const file = await Connection.open(path, 'write');
    await file.run("UPDATE generations SET position = position + 1 WHERE slot = 'live'");
    await file.close();
    expect(await withLog((log) => hasLostEvents(path, log))).toBe(true);
    await deleteProjection(path);
    expect(await withLog((log) => hasLostEvents(path, log))).toBe(false);
    expect(await build()).toEqual(first);
  });
});
