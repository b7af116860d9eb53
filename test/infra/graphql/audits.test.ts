import { serverAudits } from 'graphql-http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestNode } from '../../support/node.js';

let node: TestNode;
beforeAll(async () => {
  node = await TestNode.start();
});
afterAll(() => node.stop());

const audits = serverAudits({ url: () => `${node.url}/graphql` });

describe('GraphQL over HTTP', () => {
  it('has audits', () => {
    expect(audits.length).toBeGreaterThan(50);
  });

  it.each(audits.map(({ id, name, fn }) => [id, name, fn] as const))('%s %s', async (_id, name, fn) => {
    const result = await fn();
    // Audits marked MAY are optional: here, GET requires a header that pages of other sites cannot make a browser send.
    const fine = name.startsWith('MAY') ? ['ok', 'notice'] : ['ok'];
    expect(fine, 'reason' in result ? result.reason : '').toContain(result.status);
  });

  it('answers a GET that has a header that a page of another site cannot send', async () => {
    const path = `/graphql?query=${encodeURIComponent('{ __typename }')}`;
    const answer = await node.fetch(path, { headers: { 'apollo-require-preflight': 'true' } });
    expect(answer).toMatchObject({ status: 200, body: { data: { __typename: 'Query' } } });
    expect((await node.fetch(path)).status).toBe(400);
  });
});
