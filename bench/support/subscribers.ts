import { once } from 'node:events';
import WebSocket from 'ws';

/** Subscribers to one document, each on its own connection, which record how long each value took to arrive. */
export class Subscribers {
  /** Milliseconds from the time in a value to its arrival. */
  latencies: number[] = [];
  readonly #sockets: WebSocket[] = [];

  /**
   * @param url of the core
   * @param query a subscription whose values hold a time under the name `at`
   */
  static async connect(url: string, query: string, count: number): Promise<Subscribers> {
    const subscribers = new Subscribers();
    for (let i = 0; i < count; i += 1) await subscribers.#subscribe(url, query);
    return subscribers;
  }

  close(): void {
    for (const socket of this.#sockets) socket.terminate();
  }

  async #subscribe(url: string, query: string): Promise<void> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
    this.#sockets.push(socket);
    await once(socket, 'open');
    socket.send('{"type":"connection_init"}');
    await once(socket, 'message');
    socket.on('message', (data: Buffer) => {
      const message = data.toString();
      const [, at] = /"at":"([^"]+)"/.exec(message) ?? [];
      if (at === undefined) throw new Error(`a subscriber was sent ${message}`);
      this.latencies.push(performance.timeOrigin + performance.now() - Date.parse(at));
    });
    socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query } }));
  }
}
