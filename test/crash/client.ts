import type { Sheratan } from '../support/core.js';
import { mutation } from '../support/documents.js';
import type { Untyped } from '../support/node.js';
import type { Random } from '../support/random.js';
import type { Ledger, Place, Request } from './ledger.js';
import type { Replicas } from './replicas.js';

/** Correct refusals: the object of a request can have ended or expired in the meantime. */
const FAIR = new Set(['MISSION_CLOSED', 'STALE_ATTEMPT', 'JOB_FINISHED']);
/** How many of the newest missions and tasks are worked on, so that clients meet. */
const NEWEST = 12;
/** How often a request waits for a quorum, if there are hosts. */
const REPLICATED = 0.15;
/** How often a job is so large that hosts keep it as a file. */
const LARGE_JOBS = 0.04;
const LARGE_BYTES = 2_000;

/** What clients work with. */
export interface Served {
  readonly core: Sheratan;
  readonly replicas: Replicas | undefined;
}

let lastNumber = 0;

/** Sends one request after another until the core is gone. */
export async function work(served: Served, ledger: Ledger, random: Random, worker: string): Promise<void> {
  for (;;) {
    const again = random.chance(0.7) ? ledger.lost.shift() : undefined;
    const request = again ?? invent(ledger, random, worker, served.replicas !== undefined);
    if (!(await send(served, ledger, request))) return;
  }
}

/** Sends a request and notes the answer. Resolves false when the core is gone. */
export async function send({ core, replicas }: Served, ledger: Ledger, request: Request): Promise<boolean> {
  const correlation = `request-${++lastNumber}`;
  request.sent.push(correlation);
  const { name, consistency, key } = request;
  const input = key === undefined ? request.input : { ...request.input, idempotencyKey: key };
  let body: Untyped;
  try {
    body = await core.ask(mutation(name), { input, consistency }, { 'x-correlation-id': correlation });
  } catch {
    if (key !== undefined) ledger.lost.push(request);
    return false;
  }
  if (name === 'claimJobs' && body.errors?.[0]?.extensions?.code === 'CONSISTENCY_TIMEOUT') {
    // Its read model cannot show yet what the key received before: nothing was claimed, and the request may be repeated.
    ledger.lost.push(request);
    return true;
  }
  const result = body.data?.[name];
  if (result === undefined || result === null) {
    ledger.surprises.push(`${name} was answered with ${JSON.stringify(body.errors)}`);
    return true;
  }
  if (typeof result.code === 'string') {
    request.answer = { refused: result.code };
    if (!FAIR.has(result.code)) ledger.surprises.push(`${name} was refused: ${result.code} ${result.message}`);
    return true;
  }
  if (result.durability === 'REPLICATED' && replicas !== undefined)
    ledger.replicated.push({ position: positionOf(result), held: await replicas.held() });
  // A change that is not REPLICATED in time is answered with the durability that it has.
  else if (result.durability !== (consistency === 'REPLICATED' ? 'PROJECTED' : consistency))
    ledger.surprises.push(`${name} was answered as ${result.durability}`);
  request.answer = { places: learn(ledger, name, result) };
  return true;
}

function positionOf({ position }: Untyped): bigint {
  return BigInt((position as string).split(':')[1] ?? '');
}

function learn(ledger: Ledger, name: Request['name'], result: Untyped): Place[] {
  const place = (category: string, entity: Untyped): Place => ({
    stream: `${category}-${entity.id}`,
    revision: BigInt(entity.revision),
    position: positionOf(entity),
  });
  switch (name) {
    case 'createMission':
      ledger.missions.push(result.mission.id);
      return [place('mission', result.mission)];
    case 'updateMission':
    case 'closeMission':
      return [place('mission', result.mission)];
    case 'createTask':
      ledger.tasks.push(result.task.id);
      return [place('task', result.task)];
    case 'claimJobs':
      return (result.jobs as Untyped[]).map((job) => {
        // An answer that took longer than the lease shows a job that no worker holds any more.
        if (job.worker !== null) ledger.held.push({ id: job.id, worker: job.worker, attempt: job.attempt });
        return place('job', job);
      });
    case 'createJob':
    case 'completeJob':
    case 'failJob':
      return [place('job', result.job)];
  }
}

function invent(ledger: Ledger, random: Random, worker: string, hasHosts: boolean): Request {
  const number = ledger.requests.length + 1;
  const { name, input } = choose(ledger, random, worker, number);
  const request: Request = {
    name,
    input,
    consistency: hasHosts && random.chance(REPLICATED) ? 'REPLICATED' : random.pick(['APPENDED', 'PROJECTED']),
    ...(random.chance(0.5) ? { key: `key-${number}` } : {}),
    sent: [],
  };
  ledger.requests.push(request);
  return request;
}

function choose(
  { missions, tasks, held }: Ledger,
  random: Random,
  worker: string,
  number: number,
): Pick<Request, 'name' | 'input'> {
  const mission = missions.at(-random.between(1, NEWEST));
  const task = tasks.at(-random.between(1, NEWEST));
  const dice = random.next();
  if (mission === undefined || dice < 0.1) {
    return { name: 'createMission', input: { title: `Mission ${number}`, tags: ['crash'], metadata: { number } } };
  }
  if (dice < 0.3) return { name: 'updateMission', input: { id: mission, title: `Title ${number}` } };
  if (dice < 0.31) return { name: 'closeMission', input: { id: mission, outcome: 'COMPLETED' } };
  if (task === undefined || dice < 0.4) {
    return { name: 'createTask', input: { missionId: mission, name: `Task ${number}` } };
  }
  if (dice < 0.65) {
    const large = random.chance(LARGE_JOBS) ? { text: 'x'.repeat(LARGE_BYTES) } : {};
    return { name: 'createJob', input: { taskId: task, payload: { number, ...large } } };
  }
  if (held.length < 4 || dice < 0.75) {
    const leaseSeconds = random.pick([1, 2, 600]);
    return { name: 'claimJobs', input: { worker, limit: random.between(1, 4), leaseSeconds } };
  }
  const [job] = held.splice(random.between(0, held.length - 1), 1);
  if (job === undefined) throw new Error('there is a job');
  if (dice < 0.92) return { name: 'completeJob', input: { ...job, result: { number } } };
  return { name: 'failJob', input: { ...job, reason: 'CRASH', message: `Failure ${number}`, retryable: dice < 0.97 } };
}
