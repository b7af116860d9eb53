// Made the files beside it, with the build of 0.1: `npm run build && node test/golden/0.1/make.mjs`. Later builds use
// another protocol with hosts and cannot make the files again; README.md describes them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import sqlite3 from 'sqlite3';

const HERE = import.meta.dirname;
const MAIN = join(HERE, '../../../dist/main.js');
const PORTS = { core: 18101, 'host-a': 18181, 'host-b': 18182 };
const URLS = ['host-a', 'host-b'].map((name) => `http://127.0.0.1:${PORTS[name]}`);
const scratch = await mkdtemp(join(tmpdir(), 'golden-'));
const env = {
  PATH: process.env.PATH,
  SHERATAN_DATA_DIR: scratch,
  SHERATAN_LOG_LEVEL: 'error',
  SHERATAN_ORIGIN: 'golden',
  OFFGRID_AUTH_KEY: 'golden-0.1-authentication-key',
  OFFGRID_STORAGE_HOSTS: URLS.join(','),
  OFFGRID_REQUIRED_ACKS: '2',
  OFFGRID_BROKER_URL: 'http://127.0.0.1:1',
};

function start(args, more = {}) {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...env, ...more },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  return { child, lines, ended: once(child, 'close') };
}

async function run(...args) {
  const { lines, ended } = start(args);
  const [code] = await ended;
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}:\n${lines.join('\n')}`);
  return lines;
}

async function stop({ child, ended }) {
  child.kill('SIGTERM');
  await ended;
}

async function gql(query, variables = {}) {
  const response = await fetch(`http://127.0.0.1:${PORTS.core}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  if (errors !== undefined) throw new Error(JSON.stringify(errors));
  return data;
}

async function until(what, isThere) {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await isThere().catch(() => false)) return;
    await delay(100);
  }
  throw new Error(`no ${what} within a minute`);
}

const ENTITY = {
  Mission: 'mission { id }',
  Task: 'task { id }',
  Job: 'job { id status attempt }',
  Jobs: 'jobs { id attempt }',
};

/** Runs a mutation. @param refusal the code of the problem that it must return, if it must be refused */
async function mutate(name, input, refusal = null) {
  const type = name[0].toUpperCase() + name.slice(1);
  const query = `mutation ($input: ${type}Input!) { ${name}(input: $input) {
    ... on ${type}Payload { position ${ENTITY[type.replace(/^[A-Z][a-z]+/, '')]} } ... on Problem { code message } } }`;
  const result = (await gql(query, { input }))[name];
  if ((result.code ?? null) !== refusal) throw new Error(`${name}: ${JSON.stringify(result)}`);
  return result;
}

const create = {
  mission: async (input) => (await mutate('createMission', input)).mission.id,
  task: async (missionId, input) => (await mutate('createTask', { missionId, name: 'A task', ...input })).task.id,
  job: async (taskId, input) => (await mutate('createJob', { taskId, ...input })).job.id,
};

/** Claims jobs of a kind; exactly one must be returned. */
async function claim(kind, worker, more = {}) {
  const { jobs } = await mutate('claimJobs', { worker, kinds: [kind], limit: 1, leaseSeconds: 600, ...more });
  if (jobs.length !== 1) throw new Error(`a claim of ${kind} gave ${jobs.length} jobs`);
  return jobs[0];
}

/** Imports records of the prototype, and an event in the form of version 0 of its type. */
async function importOld() {
  const folder = join(scratch, 'prototype');
  await mkdir(folder);
  const at = (day) => `2021-03-0${day}T15:51:20.123456Z`;
  const write = (name, records) =>
    writeFile(join(folder, `${name}.jsonl`), records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  await write(
    'missions',
    [1, 2].map((n) => ({
      id: `old-mission-${n}`,
      title: `Legacy ${n} — ünicode 🛰`,
      description: 'From the prototype',
      metadata: { n },
      tags: ['lcp'],
      created_at: at(n),
    })),
  );
  await write(
    'tasks',
    [1, 2].map((n) => ({
      id: `old-task-${n}`,
      mission_id: `old-mission-${n}`,
      name: `Task ${n}`,
      description: '',
      kind: 'lcp',
      params: { n },
      created_at: at(3),
    })),
  );
  const outcome = [
    { status: 'pending' },
    { status: 'done', result: { ok: true, size: 12.5 } },
    { status: 'failed', result: 'It broke' },
  ];
  await write(
    'jobs',
    [0, 1, 2, 3, 4, 5].map((n) => ({
      id: `old-job-${n}`,
      task_id: `old-task-${1 + (n % 2)}`,
      payload: { file: `${n}.ts` },
      result: null,
      created_at: at(4),
      updated_at: at(5),
      ...outcome[n % 3],
    })),
  );
  await run('import', folder);
  const metadata = {
    at: '2020-12-31T23:59:59.999Z',
    actor: 'operator',
    correlationId: 'c',
    causationId: 'c',
    schemaVersion: 0,
  };
  const line = {
    id: '00000000-0000-4000-8000-000000000001',
    stream: 'mission-version-0',
    revision: '0',
    position: '1',
    type: 'MissionCreated',
    etype: 10,
    data: { missionId: 'version-0', title: 'As version 0 had it', description: '' },
    metadata,
    recordedAt: metadata.at,
  };
  await writeFile(join(scratch, 'version-0.ndjson'), `${JSON.stringify(line)}\n`);
  await run('import', join(scratch, 'version-0.ndjson'));
}

async function work() {
  // Missions: created with everything and with nothing, changed, closed each way; keyed commands repeated.
  const key = { title: 'Keyed', idempotencyKey: 'mission-1' };
  const keyed = await create.mission(key);
  if ((await create.mission(key)) !== keyed) throw new Error('a key gave another mission');
  await mutate('createMission', { title: 'Another', idempotencyKey: 'mission-1' }, 'IDEMPOTENCY_MISMATCH');
  const survey = await create.mission({
    title: 'Survey "\\ \u2028 é€😀',
    description: 'x'.repeat(1_500),
    metadata: { a: [1, 2.5, null, true], b: { c: 'd' } },
    tags: ['a', 'b'],
  });
  await mutate('updateMission', { id: survey, title: 'Survey', tags: ['b'] });
  await mutate('updateMission', { id: survey, metadata: {}, idempotencyKey: 'update-1' });
  await mutate('updateMission', { id: survey, metadata: {}, idempotencyKey: 'update-1' });
  await mutate('updateMission', { id: survey, title: 'Too late', expectedRevision: 0 }, 'CONCURRENCY_CONFLICT');
  const task = await create.task(survey, { kind: 'survey', params: { depth: 3 }, idempotencyKey: 'task-1' });
  await mutate('updateTask', { id: task, name: 'Renamed', params: { depth: 4 } });

  // Jobs: completed with and without a cost, failed permanently, failed and tried again, out of attempts.
  const done = await create.job(task, {
    kind: 'done',
    payload: { text: 'y'.repeat(2_000) },
    priority: 5,
    idempotencyKey: 'job-1',
  });
  const first = await claim('done', 'worker-1', { idempotencyKey: 'claim-1' });
  await claim('done', 'worker-1', { idempotencyKey: 'claim-1' });
  await mutate('completeJob', { id: done, worker: 'worker-2', attempt: first.attempt, result: null }, 'STALE_ATTEMPT');
  const answer = {
    id: done,
    worker: 'worker-1',
    attempt: first.attempt,
    result: { found: ['x', 1] },
    cost: 0.25,
    idempotencyKey: 'complete-1',
  };
  await mutate('completeJob', answer);
  await mutate('completeJob', answer);
  await mutate('completeJob', { ...answer, idempotencyKey: undefined, result: 2 }, 'JOB_FINISHED');
  await create.job(task, { kind: 'null' });
  await mutate('completeJob', { ...(await claim('null', 'worker-1')), worker: 'worker-1', result: null, attempt: 1 });
  const fail = async (job, retryable) =>
    mutate('failJob', {
      id: job.id,
      worker: 'worker-1',
      attempt: job.attempt,
      reason: 'BROKE',
      message: 'It broke',
      retryable,
    });
  await create.job(task, { kind: 'for-good' });
  await fail(await claim('for-good', 'worker-1'), false);
  await create.job(task, { kind: 'again' });
  await fail(await claim('again', 'worker-1'), true);
  const again = await claim('again', 'worker-1');
  await mutate('completeJob', { id: again.id, worker: 'worker-1', attempt: again.attempt, result: 'second time' });
  await create.job(task, { kind: 'out', maxAttempts: 2 });
  await fail(await claim('out', 'worker-1'), true);
  await fail(await claim('out', 'worker-1'), true);

  // Leases: expired once and answered too late, expired on the last attempt, expired and then completed by another worker.
  await create.job(task, { kind: 'lost' });
  const lost = await claim('lost', 'worker-1', { leaseSeconds: 1 });
  await create.job(task, { kind: 'lost-for-good', maxAttempts: 1 });
  await claim('lost-for-good', 'worker-1', { leaseSeconds: 1 });
  const statusOf = async (id) => (await gql('query ($id: ID!) { job(id: $id) { status } }', { id })).job.status;
  await until('expired lease', async () => (await statusOf(lost.id)) === 'PENDING');
  await mutate(
    'completeJob',
    { id: lost.id, worker: 'worker-1', attempt: lost.attempt, result: 'late' },
    'STALE_ATTEMPT',
  );
  const other = await claim('lost', 'worker-2');
  await mutate(
    'failJob',
    { id: lost.id, worker: 'worker-1', attempt: lost.attempt, reason: 'LATE', message: '' },
    'STALE_ATTEMPT',
  );
  await mutate('completeJob', { id: other.id, worker: 'worker-2', attempt: other.attempt, result: 'in time' });

  // Jobs cancelled while pending, while held, and with the mission; results that arrive afterwards.
  const pending = await create.job(task, { kind: 'cancelled' });
  await mutate('cancelJob', { id: pending, reason: 'Not wanted', idempotencyKey: 'cancel-1' });
  await create.job(task, { kind: 'cancelled-held' });
  const held = await claim('cancelled-held', 'worker-1');
  await mutate('cancelJob', { id: held.id });
  await mutate('completeJob', { id: held.id, worker: 'worker-1', attempt: held.attempt, result: 1 }, 'JOB_FINISHED');
  await mutate('cancelJob', { id: done }, 'JOB_FINISHED');
  for (const outcome of ['COMPLETED', 'FAILED', 'CANCELLED']) {
    const mission = await create.mission({ title: `To be ${outcome}` });
    const its = await create.task(mission, {});
    await create.job(its, { kind: `of-${outcome}` });
    await claim(`of-${outcome}`, 'worker-3');
    await create.job(its, { kind: `of-${outcome}` });
    await mutate('closeMission', { id: mission, outcome, reason: `It is ${outcome}` });
    await mutate('createTask', { missionId: mission, name: 'Too late' }, 'MISSION_CLOSED');
    await until('cancelled jobs', async () => {
      const { jobs } = await gql(
        'query ($id: ID!) { jobs(filter: { missionId: $id }) { edges { node { status } } } }',
        { id: mission },
      );
      return jobs.edges.every(({ node }) => node.status === 'CANCELLED');
    });
  }
  return { task };
}

const STATUS = '{ replicationStatus { pending policyVersion hosts { id url confirmed state behind } } }';
const isShipped = async () => {
  const { pending, hosts } = (await gql(STATUS)).replicationStatus;
  return pending === 0 && hosts.length === 2 && hosts.every(({ behind }) => behind === 0);
};
const hostState = (id, state) =>
  gql(
    'mutation ($id: ID!, $state: SettableHostState!) { setHostState(id: $id, state: $state, why: "A drill") { __typename } }',
    { id, state },
  );

/** Compacts a SQLite file and empties its write-ahead log. */
function vacuum(path) {
  return new Promise((resolve, reject) => {
    const file = new sqlite3.Database(path, (error) => error && reject(error));
    file.exec('PRAGMA wal_checkpoint(TRUNCATE); VACUUM; PRAGMA wal_checkpoint(TRUNCATE)', (error) => {
      if (error) reject(error);
      else file.close(resolve);
    });
  });
}

function rowsOf(path, tables) {
  return new Promise((resolve, reject) => {
    const file = new sqlite3.Database(path, sqlite3.OPEN_READONLY);
    const all = {};
    for (const table of tables)
      file.all(`SELECT * FROM ${table} ORDER BY 1`, (error, rows) => (error ? reject(error) : (all[table] = rows)));
    file.close(() => resolve(all));
  });
}

await importOld();
const hosts = ['host-a', 'host-b'].map((name) => start(['host', '--name', name, '--port', String(PORTS[name])]));
let core = start(['serve'], { SHERATAN_PORT: String(PORTS.core) });
await until('shipping', isShipped);
const { hosts: known } = (await gql(STATUS)).replicationStatus;
await gql('mutation ($id: ID!) { confirmHost(id: $id) { __typename } }', { id: known[0].id });
await work();
await gql('mutation { rotateKey { __typename } }');
const second = await create.mission({ title: 'Under the second key', description: 'z'.repeat(3_000) });
await until('shipping', isShipped);
await hostState(known[1].id, 'SUSPENDED');
await create.mission({ title: 'While a host is suspended' });
await hostState(known[1].id, 'ACTIVE');
await until('shipping', isShipped);
// A restarted core continues as the same writer.
await stop(core);
core = start(['serve'], { SHERATAN_PORT: String(PORTS.core) });
await until('core', isShipped);
await gql('mutation { rotateKey { __typename } }');
await mutate('closeMission', { id: second, outcome: 'COMPLETED' });
await until('shipping', isShipped);
await stop(core);
for (const host of hosts) await stop(host);

const paths = { core: join(scratch, 'core'), 'host-a': join(scratch, 'host-a'), 'host-b': join(scratch, 'host-b') };
const verified = await run('verify');
await run('export', join(HERE, 'log.ndjson'));
const recoveryKey = (await run('keys', 'export')).find((line) => line.startsWith('recovery key'))?.split(/\s+/)[2];
const missions = await rowsOf(join(paths.core, 'missions.db'), ['missions', 'tasks', 'jobs']);
const outbox = await rowsOf(join(paths.core, 'outbox.db'), [
  'entries',
  'progress',
  'quorums',
  'policies',
  'hosts',
  'keys',
]);
for (const [name, folder] of Object.entries(paths)) {
  for (const file of await readdir(folder)) if (file.endsWith('.db')) await vacuum(join(folder, file));
  await rm(join(HERE, name), { recursive: true, force: true });
  const isKept = (path) => !/(-wal|-shm|\.lock|core\.json|frontiers\.db)$/.test(path);
  await cp(folder, join(HERE, name), { recursive: true, filter: isKept });
}
const expected = {
  origin: env.SHERATAN_ORIGIN,
  authKey: env.OFFGRID_AUTH_KEY,
  recoveryKey,
  verified,
  missions,
  outbox,
};
await writeFile(join(HERE, 'expected.json'), `${JSON.stringify(expected, null, 1)}\n`);
console.log(verified, recoveryKey);
await rm(scratch, { recursive: true, force: true });
