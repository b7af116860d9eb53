import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { certificateFor } from '../../../support/eventstore/certificates.js';
import { mutation } from '../../../support/documents.js';
import { TestNode } from '../../../support/node.js';
import { startServer } from './setup.js';

/** How long a fault lasts here, in milliseconds: longer than a call is tried. */
const FAULT_MS = 14_000;

async function nodeOn(url: string): Promise<TestNode> {
  const node = await TestNode.start({ SHERATAN_EVENTSTORE_URL: url });
  onTestFinished(() => node.stop());
  return node;
}

/** Sends changes for some time, in one after another of ten callers. */
async function changeFor(node: TestNode, ms: number): Promise<Set<string>> {
  const codes = new Set<string>();
  const endsAt = performance.now() + ms;
  const caller = async () => {
    while (performance.now() < endsAt) {
      const { body } = await node.ask(mutation('createMission'), { input: { title: 'T' }, consistency: 'APPENDED' });
      for (const { extensions } of body.errors ?? []) codes.add(extensions.code);
      await delay(20);
    }
  };
  await Promise.all(Array.from({ length: 10 }, caller));
  return codes;
}

const messages = (node: TestNode) => node.logged.map((line) => (JSON.parse(line) as { msg: string }).msg);

it('an outage of the server is logged once, however many changes it refuses', async () => {
  const server = await startServer();
  const node = await nodeOn(server.url);
  await node.newMission();
  await server.refuse();
  expect(await changeFor(node, FAULT_MS)).toEqual(new Set(['LOG_UNAVAILABLE']));
  expect(messages(node).filter((message) => message.includes('does not answer'))).toHaveLength(1);
  expect(messages(node).filter((message) => !/does not answer|lease lost/.test(message))).toEqual([]);
  expect(node.logged.join('').length).toBeLessThan(2_000);
  await server.accept();
  const change = { input: { title: 'T' }, consistency: 'APPENDED' };
  await expect
    .poll(async () => (await node.ask(mutation('createMission'), change)).body.errors, { timeout: 20_000 })
    .toBeUndefined();
});

it('a password that is changed on the server is logged once', async () => {
  const users: Record<string, string> = { sheratan: 'swordfish' };
  const server = await startServer({ tls: certificateFor('localhost'), users });
  const node = await nodeOn(server.url);
  await node.newMission();
  users['sheratan'] = 'changed';
  server.drop();
  expect(await changeFor(node, FAULT_MS)).toEqual(new Set(['LOG_DENIED']));
  expect(messages(node).filter((message) => message.includes('refuses access'))).toHaveLength(1);
  expect(messages(node).filter((message) => !/refuses access|does not answer|lease lost/.test(message))).toEqual([]);
  expect(node.logged.join('').length).toBeLessThan(2_000);
});

it('refusals that the log does not report are counted', async () => {
  const node = await TestNode.start();
  onTestFinished(() => node.stop());
  await node.services.log.close();
  expect(await changeFor(node, 1_000)).toEqual(new Set(['LOG_CLOSED']));
  expect(messages(node).filter((message) => message === 'request refused')).toHaveLength(1);
});
