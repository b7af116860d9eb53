import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestNode } from '../../support/node.js';

let node: TestNode;
beforeAll(async () => {
  node = await TestNode.start();
});
afterAll(() => node.stop());

const page = () => node.fetch('/playground/');

/** What a page asks its browser to load: the targets of `src` and of links that load something. */
function loaded(html: string): string[] {
  const sources = [...html.matchAll(/<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)="([^"]+)"/g)];
  return sources.map(([, target = '']) => target);
}

describe('the playground', () => {
  it('is the target of the redirects of / and /playground', async () => {
    for (const path of ['/', '/playground']) {
      const { status, headers } = await node.fetch(path);
      expect(status).toBe(302);
      expect(headers.get('location')).toBe('/playground/');
    }
  });

  it('is a page for this node: its endpoint, its base and a first query', async () => {
    const { status, headers, text } = await page();
    expect(status).toBe(200);
    expect(headers.get('content-type')).toMatch(/^text\/html/);
    expect(text).toContain('<base href="/playground/">');
    expect(text).toContain('/graphql');
    expect(text).toContain('Welcome to Sheratan');
    expect(text).toContain('graphql-ws');
  });

  it('loads only files of this node, and all of them exist', async () => {
    const { text } = await page();
    const targets = loaded(text);
    expect(targets.length).toBeGreaterThan(2);
    for (const target of targets) {
      expect(target).not.toMatch(/^(?:[a-z]+:)?\/\//i);
      const { status, text: content } = await node.fetch(new URL(target, `${node.url}/playground/`).pathname);
      expect(status, target).toBe(200);
      expect(content.length).toBeGreaterThan(0);
    }
    expect(targets.filter((target) => target.endsWith('.js')).length).toBeGreaterThan(0);
    expect(targets.filter((target) => target.endsWith('.css')).length).toBeGreaterThan(0);
  });

  it('has styles that load nothing from elsewhere', async () => {
    const { text } = await page();
    for (const target of loaded(text).filter((name) => name.endsWith('.css'))) {
      const { text: css } = await node.fetch(new URL(target, `${node.url}/playground/`).pathname);
      expect(css).not.toMatch(/@import|url\(["']?(?:https?:)?\/\//);
    }
  });

  it('may connect only to this node, by its content security policy', async () => {
    const { headers } = await page();
    const policy = headers.get('content-security-policy') ?? '';
    const directives = new Map(
      policy.split('; ').map((directive) => {
        const [name = '', ...values] = directive.split(' ');
        return [name, values];
      }),
    );
    expect(directives.get('default-src')).toEqual(["'none'"]);
    expect(directives.get('frame-ancestors')).toEqual(["'none'"]);
    expect(directives.get('form-action')).toEqual(["'none'"]);
    for (const [name, values] of directives) {
      for (const value of values) expect(value, name).not.toMatch(/^(?:\*|https?:|[\w-]+\.)/);
    }
    expect(directives.get('script-src')?.join(' ')).not.toContain("'unsafe-inline'");
  });

  it('allows only the script of its own page: each response has its own nonce', async () => {
    const nonces = [];
    for (let i = 0; i < 2; i += 1) {
      const { headers, text } = await page();
      const [, nonce = ''] = /'nonce-([^']+)'/.exec(headers.get('content-security-policy') ?? '') ?? [];
      expect(Buffer.from(nonce, 'base64')).toHaveLength(16);
      expect(text).toContain(`nonce="${nonce}"`);
      nonces.push(nonce);
    }
    expect(new Set(nonces).size).toBe(2);
  });

  it.each([
    '/playground/package.json',
    '/playground/%2e%2e%2fpackage.json',
    '/playground/..%5cpackage.json',
    '/playground/%00',
    '/playground/.%00',
    '/playground/assets/',
    `/playground/${'x'.repeat(5_000)}`,
  ])('has nothing at %s', async (path) => {
    const { status, body } = await node.fetch(path);
    expect(status).toBe(404);
    expect(body.errors).toEqual([
      { message: expect.stringMatching(/^(No such file exists|Nothing is served)/), extensions: { code: 'NOT_FOUND' } },
    ]);
  });

  it('answers HEAD as GET, without a body', async () => {
    const { status, text } = await node.fetch('/playground/', { method: 'HEAD' });
    expect(status).toBe(200);
    expect(text).toBe('');
  });
});

it('logs no mistakes of clients', () => {
  expect(node.logged).toEqual([]);
});
