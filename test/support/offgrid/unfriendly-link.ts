import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Random } from '../random.js';

/** Bytes of a segment: what is lost, late or there as a whole. */
const SEGMENT_BYTES = 1_400;
/** The most bytes that wait before the link in one direction; then the sender is asked to wait. */
const QUEUE_BYTES = 16 * 1024;
/** After how long a lost segment is sent again, in milliseconds. */
const RETRANSMISSION_MS = 1_000;

/** How bad a link is. */
export interface Weather {
  /** How long a segment takes, each way, in milliseconds. */
  readonly delayMs: number;
  /** Of each direction, whatever the number of connections. */
  readonly bytesPerSecond: number;
  /** The share of segments that are lost: what comes after one waits with it, as TCP has it. */
  readonly loss: number;
  /** The share of segments with which their connection is torn. */
  readonly tear: number;
}

/** Nothing is in the way. */
export const FAIR: Weather = { delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY, loss: 0, tear: 0 };

/** A TCP proxy that is as bad as it is told to be. */
export class UnfriendlyLink {
  /** Where it listens: the address to give in place of the other side's. */
  readonly url: string;
  /** From the next segment on. */
  weather: Weather;
  /** Nobody gets through while it is down. */
  isDown = false;
  /** How many connections were torn by the weather. */
  torn = 0;
  readonly #random: Random;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  /** When the link has sent what was given to it, in milliseconds of `performance.now()`: upwards and downwards. */
  readonly #busyUntil = { up: 0, down: 0 };
  #target: string;

  private constructor(server: Server, target: string, weather: Weather, random: Random) {
    this.#target = target;
    this.#random = random;
    this.weather = weather;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket) => this.#accept(socket));
  }

  /** A link to somebody; it goes with the test. @param random where there is chance in the weather */
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

  /** Leads elsewhere from the next connection on. */
  retarget(target: string): void {
    this.#target = target;
  }

  /** Tears every connection, without a word. */
  sever(): void {
    for (const pair of this.#pairs) this.#tear(pair);
  }

  /** Tears every connection and lets nobody through any more. */
  cut(): void {
    this.isDown = true;
    this.sever();
  }

  /** Lets them through again. */
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

  /** Carries what comes from one to the other, in order. */
  #carry(from: Socket, to: Socket, way: 'up' | 'down', pair: readonly [Socket, Socket]): void {
    let lastArrival = 0;
    let queued = 0;
    const underway: (() => void)[] = [];
    const arrive = (at: number, what: () => void) => {
      lastArrival = Math.max(at, lastArrival);
      underway.push(what);
      // Timers may go off in another order; what arrives first is what was sent first all the same.
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
