import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { onTestFinished } from 'vitest';

/** Headers of one connection, which are not passed on. */
const HOP_BY_HOP: ReadonlySet<string> = new Set(['host', 'connection', 'content-length', 'transfer-encoding']);

/** A request as it was received. */
export interface Exchange {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** An answer. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | Readable;
}

/** Answers a request; `pass` sends it to the server behind. */
export type Handler = (request: Exchange, pass: (request: Exchange) => Promise<Reply>) => Promise<Reply>;

/** An HTTP server in front of another, which may change requests and answers. */
export class Front {
  readonly url: string;
  /** Every request received, in order. */
  readonly asked: Exchange[] = [];
  handler: Handler | undefined;

  private constructor(url: string) {
    this.url = url;
  }

  /** Starts one in front of a server; it stops when the test ends. */
  static async of(target: string): Promise<Front> {
    const server = createServer((request, response) => {
      const answer = async () => {
        const { method = 'GET', url: path = '/' } = request;
        const asked = { method, path, headers: endToEnd(request.headers), body: await buffer(request) };
        front.asked.push(asked);
        const reply = await (front.handler ?? passOn)(asked, (what) => pass(target, what));
        response.writeHead(reply.status, reply.headers);
        if (reply.body instanceof Readable) await pipeline(reply.body, response);
        else response.end(reply.body);
      };
      // The client may have disconnected, or the server behind may have ended: then there is no answer.
      answer().catch(() => response.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const front = new Front(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    onTestFinished(() => {
      server.close();
      server.closeAllConnections();
    });
    return front;
  }
}

const passOn: Handler = (request, pass) => pass(request);

/** Sends a request to a server. */
async function pass(target: string, { method, path, headers, body }: Exchange): Promise<Reply> {
  const answer = await fetch(`${target}${path}`, {
    method,
    headers,
    ...(method === 'GET' ? {} : { body: Uint8Array.from(body) }),
  });
  const { status } = answer;
  const answered = endToEnd(Object.fromEntries(answer.headers));
  return { status, headers: answered, body: Buffer.from(await answer.arrayBuffer()) };
}

function endToEnd(headers: IncomingHttpHeaders | Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name));
  return Object.fromEntries(kept.map(([name, value]) => [name, String(value)]));
}
