import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect } from 'vitest';
import type { Clock } from '../../src/infra/platform/clock.js';
import { readConfig } from '../../src/infra/app/config.js';
import { startNode, type Node } from '../../src/infra/app/node.js';
import { mutation } from './documents.js';
import { Subscriber, type SubscriberOptions } from './subscriber.js';

/** The settings of a core without hosts: a test that needs replication sets it. */
export const ALONE = { OFFGRID_STORAGE_ENABLED: 'false' } as const;

/** A value parsed from JSON; assertions check its type. */
export type Untyped = ReturnType<typeof JSON.parse>;

/** A clock that runs with the real one and can be moved forward. */
export class TestClock implements Clock {
  #aheadMs = 0;

  readonly now = (): Date => new Date(Date.now() + this.#aheadMs);

  advance(ms: number): void {
    this.#aheadMs += ms;
  }
}

/** The answer to a request. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Untyped;
}

export interface MutateOptions {
  readonly consistency?: 'APPENDED' | 'PROJECTED' | 'REPLICATED';
  readonly token?: string;
}

/** A real node with its own port and data folder; the warnings and errors that it logs are kept. */
export class TestNode {
  readonly clock = new TestClock();
  readonly logged: string[] = [];
  readonly folder: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #clients = new Set<Subscriber>();
  #node: Node | undefined;

  private constructor(folder: string, env: Readonly<Record<string, string>>) {
    this.folder = folder;
    this.#env = env;
  }

  /** Starts a node. @param env settings other than the folder and the port */
  static async start(env: Readonly<Record<string, string>> = {}): Promise<TestNode> {
    const node = new TestNode(await mkdtemp(join(tmpdir(), 'sheratan-node-')), env);
    await node.restart();
    return node;
  }

  /** Starts again on the same folder. */
  async restart(): Promise<void> {
    await this.#node?.stop();
    const config = readConfig({ SHERATAN_DATA_DIR: this.folder, SHERATAN_PORT: '0', ...ALONE, ...this.#env });
    const logger = pino({ level: 'warn' }, { write: (line: string) => this.logged.push(line) });
    this.#node = await startNode(config, { clock: this.clock, logger });
  }

  /** Stops the node and removes its folder. */
  async stop(): Promise<void> {
    for (const client of this.#clients) await client.dispose();
    await this.#node?.stop();
    this.#node = undefined;
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Stops the node as a signal would, and keeps the folder. */
  async halt(): Promise<void> {
    const node = this.#node;
    this.#node = undefined;
    await node?.stop();
  }

  get url(): string {
    return this.#running.url;
  }

  get services() {
    return this.#running.services;
  }

  get #running(): Node {
    if (this.#node === undefined) throw new Error('the node is stopped');
    return this.#node;
  }

  async fetch(path: string, init: RequestInit = {}): Promise<Answer> {
    const response = await fetch(`${this.url}${path}`, { redirect: 'manual', ...init });
    const text = await response.text();
    let body: Untyped;
    try {
      body = JSON.parse(text);
    } catch {
      body = undefined;
    }
    return { status: response.status, headers: response.headers, text, body };
  }

  /** Sends a GraphQL request; returns any answer. */
  post(body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.fetch('/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  }

  /** Sends a document; returns any answer. */
  ask(query: string, variables: object = {}, token?: string): Promise<Answer> {
    return this.post({ query, variables }, token === undefined ? {} : { authorization: `Bearer ${token}` });
  }

  /** The data of a document that has no errors. */
  async gql(query: string, variables: object = {}, token?: string): Promise<Untyped> {
    const { body, text } = await this.ask(query, variables, token);
    expect(body?.errors, text).toBeUndefined();
    return body.data;
  }

  /** The code and message of a document's only error. */
  async refusal(query: string, variables: object = {}, token?: string): Promise<{ code: string; message: string }> {
    const { body, text } = await this.ask(query, variables, token);
    expect(body?.errors, text).toHaveLength(1);
    const [{ message, extensions }] = body.errors;
    expect(Object.keys(extensions)).toEqual(['code']);
    return { code: extensions.code, message };
  }

  /** The result of a mutation with an input: its payload, or its problem. */
  async mutate(
    name: string,
    input: object,
    { consistency = 'PROJECTED', token }: MutateOptions = {},
  ): Promise<Untyped> {
    const data = await this.gql(mutation(name), { input, consistency }, token);
    return data[name];
  }

  /** Creates a mission; returns its id. */
  async newMission(input: object = {}): Promise<string> {
    const { mission } = await this.mutate('createMission', { title: 'A mission', ...input });
    return mission.id;
  }

  /** Creates a task; returns its id. */
  async newTask(missionId: string, input: object = {}): Promise<string> {
    const { task } = await this.mutate('createTask', { missionId, name: 'A task', ...input });
    return task.id;
  }

  /** Creates a job; returns its id. */
  async newJob(taskId: string, input: object = {}): Promise<string> {
    const { job } = await this.mutate('createJob', { taskId, ...input });
    return job.id;
  }

  /** The events of a stream, as the API shows them. */
  async eventsOf(stream: string): Promise<{ type: string; position: string; revision: number; data: Untyped }[]> {
    const { events } = await this.gql(
      'query ($streams: [ID!]) { events(filter: { streams: $streams }) { edges { node { type position revision data } } } }',
      { streams: [stream] },
    );
    return events.edges.map(({ node }: { node: Untyped }): Untyped => node);
  }

  /** A client of the node's WebSocket; it is closed when the node stops. */
  client(options: SubscriberOptions = {}): Subscriber {
    const client = new Subscriber(`${this.url.replace('http', 'ws')}/graphql`, options);
    this.#clients.add(client);
    return client;
  }
}
