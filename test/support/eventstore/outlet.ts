import type { ServerWritableStream, ServiceError } from '@grpc/grpc-js';
import type { Planned, ReadFault } from './faults.js';
import { broken } from './errors.js';
import type { streams } from './generated.js';
import type { Position } from './position.js';
import type { StoredRecord } from './record.js';
import { message, text, uint } from './wire.js';

export type ReadRequest = InstanceType<typeof streams.ReadReq>;
export type ReadCall = ServerWritableStream<ReadRequest, Buffer>;

/**
 * The output of a read or a subscription. If `send` or `event` returns a promise, await it before sending more: the
 * client takes no more until then.
 */
export class Outlet {
  /** Whether checkpoints are sent here. */
  readonly hasCheckpoints: boolean;
  readonly #call: ReadCall;
  readonly #breaksAfter: number;
  readonly #overListeners = new Set<() => void>();
  #delivered = 0;
  #duplicates = 0;
  #isOver = false;

  constructor(
    call: ReadCall,
    { hasCheckpoints = false, fault }: { hasCheckpoints?: boolean; fault?: Planned<ReadFault> | undefined } = {},
  ) {
    this.#call = call;
    this.hasCheckpoints = hasCheckpoints;
    this.#breaksAfter = fault?.fault === 'broken' ? fault.events : Infinity;
    call.once('cancelled', () => this.#finish());
  }

  /** Whether it ended, failed or was cancelled. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** How many events were delivered, at least to the buffers of this machine. */
  get delivered(): number {
    return this.#delivered;
  }

  onOver(listener: () => void): void {
    this.#overListeners.add(listener);
  }

  send(frame: Buffer): Promise<void> | undefined {
    if (this.#isOver || this.#call.write(frame)) return undefined;
    return new Promise((resolve) => {
      const go = () => {
        this.#call.off('drain', go);
        this.#overListeners.delete(go);
        resolve();
      };
      this.#call.once('drain', go);
      this.#overListeners.add(go);
    });
  }

  event(record: StoredRecord): Promise<void> | undefined {
    if (this.#delivered >= this.#breaksAfter) {
      this.fail(broken());
      return undefined;
    }
    this.#delivered += 1;
    for (; this.#duplicates > 0; this.#duplicates -= 1) void this.send(record.frame);
    return this.send(record.frame);
  }

  /** Delivers the next event twice. */
  duplicate(): void {
    this.#duplicates += 1;
  }

  checkpoint(position: Position): Promise<void> | undefined {
    return this.send(message(3, uint(1, position.commit), uint(2, position.prepare)));
  }

  confirm(subscriptionId: string): Promise<void> | undefined {
    return this.send(message(2, text(1, subscriptionId)));
  }

  caughtUp(): Promise<void> | undefined {
    return this.send(message(8));
  }

  streamNotFound(stream: string): Promise<void> | undefined {
    return this.send(message(4, message(1, text(3, stream))));
  }

  end(): void {
    if (this.#isOver) return;
    this.#finish();
    this.#call.end();
  }

  fail(error: ServiceError): void {
    if (this.#isOver) return;
    this.#finish();
    this.#call.emit('error', error);
  }

  #finish(): void {
    this.#isOver = true;
    for (const listener of [...this.#overListeners]) listener();
    this.#overListeners.clear();
  }
}
