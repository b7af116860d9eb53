import { writeFile } from 'node:fs/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import { startStandIn } from '../../support/log-server.js';
import { TestNode, type Untyped } from '../../support/node.js';
import { newHost } from '../../support/offgrid/host.js';
import { newMission, replicating, settled, statusOf } from '../../support/offgrid/machine.js';

const WAIT = { timeout: 120_000, interval: 50 };

const BEGIN = `mutation ($origin: String!) { beginLine(origin: $origin) {
  __typename ... on BeginLinePayload { line position durability } ... on Problem { code message } ... on InvalidInput { fields { path } }
} }`;
const RESUME =
  'mutation { resumeWriter { __typename ... on ResumeWriterPayload { position durability } ... on Problem { code message } } }';

describe.each(['of its own', 'on a server'])('beginLine and resumeWriter with a log %s', (place) => {
  async function logSettings(): Promise<Record<string, string>> {
    if (place === 'of its own') return {};
    const server = await startStandIn();
    onTestFinished(() => server.stop());
    return { SHERATAN_EVENTSTORE_URL: server.url };
  }

  /** A core that is halted by the record in its folder. */
  async function stoppedCore() {
    const hosts = [(await newHost()).url, (await newHost()).url];
    const node = await TestNode.start({ ...replicating(hosts), ...(await logSettings()) });
    onTestFinished(() => node.stop());
    await settled(node);
    const { logId } = node.services.log;
    await node.halt();
    const stopped = { code: 'BEHIND', message: 'It was so.', line: 4 };
    await writeFile(corePaths(node.folder).writer, JSON.stringify({ logId, epoch: 1, stopped }));
    await node.restart();
    await expect.poll(() => statusOf(node), WAIT).toMatchObject({ stopped: { code: 'BEHIND' } });
    return node;
  }

  /** Executes an operation once replication is running. */
  const operated = async (node: TestNode, document: string, variables: object = {}): Promise<Untyped> => {
    let result: Untyped;
    const operate = async () => {
      [result] = Object.values(await node.gql(document, variables));
      return String(result.message ?? '');
    };
    await expect.poll(operate, WAIT).not.toContain('has just begun');
    return result;
  };

  it('resumeWriter clears the reason of a halt; the core is checked again, and a second call is refused', async () => {
    const node = await stoppedCore();
    expect(await operated(node, RESUME)).toMatchObject({ __typename: 'ResumeWriterPayload', durability: 'PROJECTED' });
    await newMission(node);
    expect(await settled(node, 3)).toMatchObject({ line: 1, stopped: null, elected: true });
    expect(await operated(node, RESUME)).toMatchObject({
      code: 'REPLICATION_STATE',
      __typename: 'ReplicationStateProblem',
    });
  });

  it('beginLine puts a halted core above the line that a host has shown, and accepts only the name of its origin', async () => {
    const node = await stoppedCore();
    expect(await operated(node, BEGIN, { origin: 'core-v1' })).toMatchObject({
      code: 'INVALID_INPUT',
      fields: [{ path: 'origin' }],
    });
    expect(await statusOf(node)).toMatchObject({ line: 1, stopped: { code: 'BEHIND' } });
    expect(await operated(node, BEGIN, { origin: 'core-v2' })).toMatchObject({
      __typename: 'BeginLinePayload',
      line: 5,
    });
    await expect.poll(() => statusOf(node), WAIT).toMatchObject({ line: 5, stopped: null, elected: true });
    expect(await newMission(node, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
  });

  it('both are refused when replication is disabled', async () => {
    const node = await TestNode.start();
    onTestFinished(() => node.stop());
    for (const [document, origin] of [
      [BEGIN, 'core-v2'],
      [RESUME, undefined],
    ] as const)
      expect(Object.values(await node.gql(document, { origin }))).toMatchObject([{ code: 'REPLICATION_DISABLED' }]);
  });
});
