import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { errorBody } from '../http-kit/error-answer.js';
import type { ServerOptions } from './server.js';

/** Answers requests while a core cannot serve yet: it is alive but not ready, and shows why. */
export class WaitingRoom {
  /** Why the core waits, as `/readyz` shows it. */
  reason = 'log: CONNECTING';
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const path = (request.url ?? '').split('?')[0];
      const [status, body] =
        path === '/livez'
          ? [200, { status: 'ok' }]
          : path === '/readyz'
            ? [503, { status: 'not ready', reasons: [this.reason] }]
            : [
                503,
                errorBody({
                  code: 'STARTING',
                  message: 'This node is starting and waits for its log. /readyz shows the reason. Try again later.',
                }),
              ];
      response.writeHead(status, { 'content-type': 'application/json', 'retry-after': '1', connection: 'close' });
      response.end(JSON.stringify(body));
    });
  }

  /** Listens at the address of the core. @throws the system's error when it cannot listen */
  static async open({ bind, port }: Pick<ServerOptions, 'bind' | 'port'>): Promise<WaitingRoom> {
    const room = new WaitingRoom();
    room.#server.listen(port, bind);
    await once(room.#server, 'listening');
    return room;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Stops listening, so that the core can listen at the address. */
  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
