import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Random } from '../random.js';

/** Bytes of a segment, which is lost, delayed or delivered as a unit. */
const SEGMENT_BYTES = 1_400;
/** The most bytes that are queued in one direction; beyond this the sender is paused. */
const QUEUE_BYTES = 16 * 1024;
/** After how long a lost segment is sent again, in milliseconds. */
const RETRANSMISSION_MS = 1_000;

/** The faults of a link. */
export interface Weather {
  /** The delay of a segment in each direction, in milliseconds. */
  readonly delayMs: number;
  /** For each direction, shared by all connections. */
  readonly bytesPerSecond: number;
  /** The share of segments that are lost: those after a lost one wait for it, as in TCP. */
  readonly loss: number;
  /** The share of segments at which their connection is reset. */
  readonly tear: number;
}

/** A link without faults. */
export const FAIR: Weather = { delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY, loss: 0, tear: 0 };

/** A TCP proxy with adjustable faults. */
export class UnfriendlyLink {
  /** Its address, to be used in place of the target's. */
  readonly url: string;
  /** The current faults; a change takes effect at the next segment. */
  weather: Weather;
  /** While it is down, every connection is reset. */
  isDown = false;
  /** How many connections were reset by the link's faults. */
  torn = 0;
  readonly #random: Random;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  /** The time at which the link has sent all queued bytes, in milliseconds of `performance.now()`, by direction. */
  readonly #busyUntil = { up: 0, down: 0 };
  #target: string;

  private constructor(server: Server, target: string, weather: Weather, random: Random) {
    this.#target = target;
    this.#random = random;
    this.weather = weather;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket) => this.#accept(socket));
  }

  /** A link to a server; it closes when the test ends. @param random decides the random faults */
  static async to(target: string, random: Random, weather: Weather = FAIR): Promise<UnfriendlyLink> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const link = new UnfriendlyLink(server, target, weather, random);
    onTestFinished(() => {
      link.sever();
      server.close();
    });
    return link;
  }

  /** Connects to another target from the next connection on. */
  retarget(target: string): void {
    this.#target = target;
  }

  /** Resets every connection. */
  sever(): void {
    for (const pair of this.#pairs) this.#tear(pair);
  }

  /** Resets every connection and accepts no more. */
  cut(): void {
    this.isDown = true;
    this.sever();
  }

  /** Accepts connections again. */
  mend(): void {
    this.isDown = false;
  }

  #accept(near: Socket): void {
    if (this.isDown) {
      near.on('error', () => undefined).resetAndDestroy();
      return;
    }
    const { hostname, port } = new URL(this.#target);
    const far = connect(Number(port), hostname);
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on('error', () => this.#tear(pair));
      socket.on('close', () => this.#pairs.delete(pair));
    }
    this.#carry(near, far, 'up', pair);
    this.#carry(far, near, 'down', pair);
  }

  /** Passes bytes from one socket to the other, in order. */
  #carry(from: Socket, to: Socket, way: 'up' | 'down', pair: readonly [Socket, Socket]): void {
    let lastArrival = 0;
    let queued = 0;
    const underway: (() => void)[] = [];
    const arrive = (at: number, what: () => void) => {
      lastArrival = Math.max(at, lastArrival);
      underway.push(what);
      // Timers may fire in another order; segments are nevertheless delivered in the order in which they were sent.
      setTimeout(() => underway.shift()?.(), Math.max(0, lastArrival - performance.now()));
    };
    from.on('data', (chunk: Buffer) => {
      for (let start = 0; start < chunk.byteLength; start += SEGMENT_BYTES) {
        const segment = chunk.subarray(start, start + SEGMENT_BYTES);
        const { delayMs, bytesPerSecond, loss, tear } = this.weather;
        if (this.#random.chance(tear)) {
          this.torn += 1;
          this.#tear(pair);
          return;
        }
        const sentAt =
          Math.max(performance.now(), this.#busyUntil[way]) + (1_000 * segment.byteLength) / bytesPerSecond;
        this.#busyUntil[way] = sentAt;
        const isLost = this.#random.chance(loss);
        queued += segment.byteLength;
        if (queued > QUEUE_BYTES) from.pause();
        arrive(sentAt + delayMs + (isLost ? RETRANSMISSION_MS : 0), () => {
          queued -= segment.byteLength;
          if (queued <= QUEUE_BYTES) from.resume();
          if (to.writable) to.write(segment);
        });
      }
    });
    from.on('end', () => {
      arrive(performance.now() + this.weather.delayMs, () => to.end());
    });
  }

  #tear(pair: readonly [Socket, Socket]): void {
    this.#pairs.delete(pair);
    for (const socket of pair) if (!socket.destroyed) socket.resetAndDestroy();
  }
}
