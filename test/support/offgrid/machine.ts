import { expect } from 'vitest';
import { sheratan } from '../../infra/transfer/support.js';
import { newDataDir, Sheratan } from '../core.js';
import type { Untyped } from '../node.js';
import { AUTH_KEY } from './host.js';

/** The longest that a test waits for a condition, in milliseconds. */
export const WAIT = { timeout: 120_000, interval: 50 };
/** How long a mutation waits for a quorum, in seconds: on a busy machine, an election and a batch may take more than 10. */
const REPLICATED_TIMEOUT_S = '40';
/** An address at which no server listens. */
export const UNREACHABLE = 'http://127.0.0.1:1';
/** The number of events that a core ships before any command: its first key and its policy. */
export const FIRST_EVENTS = 2;

/** A core that takes GraphQL requests, in this process or in its own. */
export interface Asked {
  gql(query: string, variables?: object): Promise<Untyped>;
}

/** The settings of a core that replicates to hosts. @param hosts as `OFFGRID_STORAGE_HOSTS` names them */
export function replicating(
  hosts: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return {
    OFFGRID_STORAGE_ENABLED: 'true',
    OFFGRID_STORAGE_HOSTS: hosts.join(','),
    OFFGRID_AUTH_KEY: AUTH_KEY,
    OFFGRID_BROKER_URL: UNREACHABLE,
    SHERATAN_REPLICATED_TIMEOUT: REPLICATED_TIMEOUT_S,
    SHERATAN_LOG_LEVEL: 'error',
    ...more,
  };
}

/** A core in a process of its own, and its data folder. */
export interface Machine {
  readonly core: Sheratan;
  readonly dataDir: string;
}

/** Starts a core that replicates, and waits until its hosts have signed for its first events. */
export async function settledMachine(
  hosts: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<Machine> {
  const dataDir = await newDataDir();
  const core = await Sheratan.serve(dataDir, replicating(hosts, more));
  await settled(core);
  return { core, dataDir };
}

const STATUS = `{ replicationStatus {
  enabled degraded refusal line elected missingWeight staged { host events } stopped { code message } writerEpoch policyVersion requiredAcks
  headSequence quorumSequence pending unmet { url trouble }
  hosts { id url state why weight sequence behind reached lastError }
} }`;

/** The fields of `replicationStatus` that tests use. */
export async function statusOf(core: Asked): Promise<Untyped> {
  return (await core.gql(STATUS)).replicationStatus;
}

/** One host of the status, by its URL. */
export async function hostAt(core: Asked, url: string): Promise<Untyped> {
  const { hosts } = await statusOf(core);
  return hosts.find((host: Untyped) => host.url === url);
}

/** The result of a mutation. */
export interface Made {
  readonly id: string;
  readonly durability: 'APPENDED' | 'PROJECTED' | 'REPLICATED';
}

const CREATE = `mutation ($input: CreateMissionInput!, $consistency: Consistency!) {
  createMission(input: $input, consistency: $consistency) {
    ... on CreateMissionPayload { durability mission { id } }
    ... on Problem { code message }
  }
}`;

/** Creates a mission, which is one event. */
export async function newMission(
  core: Asked,
  input: object = {},
  consistency: Made['durability'] = 'APPENDED',
): Promise<Made> {
  const { createMission } = await core.gql(CREATE, { input: { title: 'A mission', ...input }, consistency });
  return { id: createMission.mission.id, durability: createMission.durability };
}

/** Creates `count` missions, one after the other. */
export async function newMissions(core: Asked, count: number, input: object = {}): Promise<readonly Made[]> {
  const made: Made[] = [];
  while (made.length < count) made.push(await newMission(core, input));
  return made;
}

/** Resolves with the status once every host has signed for all events. @param atLeast the least number of events */
export async function settled(core: Asked, atLeast = FIRST_EVENTS): Promise<Untyped> {
  let status: Untyped;
  const isSettled = async () => {
    status = await statusOf(core);
    const { degraded, pending, headSequence, hosts } = status;
    const behind = hosts.filter((host: Untyped) => host.weight > 0 && host.behind > 0);
    return { degraded, pending, behind, isEnough: headSequence >= atLeast };
  };
  await expect.poll(isSettled, WAIT).toEqual({ degraded: false, pending: 0, behind: [], isEnough: true });
  return status;
}

/** The titles of all missions, in order. */
export async function titlesOf(core: Asked): Promise<readonly string[]> {
  const { missions } = await core.gql('{ missions(first: 100) { edges { node { title } } } }');
  return missions.edges.map(({ node }: Untyped): string => node.title).sort();
}

/** Sets the state of a host; returns its state, or the problem. */
export async function setHostState(core: Asked, id: string, state: string): Promise<Untyped> {
  const { setHostState: result } = await core.gql(
    `mutation ($id: ID!, $state: SettableHostState!) { setHostState(id: $id, state: $state, why: "A test") {
      ... on SetHostStatePayload { host { state } }
      ... on Problem { code message }
    } }`,
    { id, state },
  );
  return result;
}

/** Runs the mutation `retryHost`. */
export async function retryHost(core: Asked, id: string): Promise<Untyped> {
  const { retryHost: result } = await core.gql(
    `mutation ($id: ID!) { retryHost(id: $id) { ... on RetryHostPayload { host { state } } ... on Problem { code message } } }`,
    { id },
  );
  return result;
}

/** The recovery key of a machine, as `sheratan keys export` prints it. */
export async function recoveryKeyOf(dataDir: string): Promise<string> {
  const { output } = await Sheratan.run(['keys', 'export'], dataDir);
  const key = output.map((line) => /^recovery key {2}(\S.*)$/.exec(line)?.[1]).find((found) => found !== undefined);
  if (key === undefined) throw new Error(`no recovery key in:\n${output.join('\n')}`);
  return key;
}

/** Runs `sheratan restore` into a folder. @param hosts with their fingerprints, where they are known */
export function restoreInto(
  dataDir: string,
  key: string,
  hosts: readonly string[],
  ...options: readonly string[]
): ReturnType<typeof Sheratan.run> {
  const args = ['restore', '--hosts', hosts.join(','), ...options];
  return sheratan(args, dataDir, { ...replicating(hosts), SHERATAN_RECOVERY_KEY: key });
}

/** Runs `sheratan restore --drill` beside a core. */
export function drill(
  dataDir: string,
  hosts: readonly string[],
  ...options: readonly string[]
): ReturnType<typeof Sheratan.run> {
  return sheratan(['restore', '--drill', '--hosts', hosts.join(','), ...options], dataDir, replicating(hosts));
}
