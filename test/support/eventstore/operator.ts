import { randomUUID } from 'node:crypto';
import type { StandIn } from './stand-in.js';

/** Removes the events of a stream below a revision, as an operator does with the server's own tools. */
export function truncate({ store }: StandIn, stream: string, before: number): void {
  const data = Buffer.from(JSON.stringify({ $tb: before }));
  const metadata = { id: randomUUID(), type: '$metadata', isJson: true, data, metadata: Buffer.from('') };
  expectDone(store.append(`$$${stream}`, 'any', [metadata]));
}

/** Ends a stream permanently, as an operator does with the server's own tools. */
export function tombstone({ store }: StandIn, stream: string): void {
  expectDone(store.tombstone(stream, 'any'));
}

function expectDone({ kind }: { readonly kind: string }): void {
  if (kind !== 'success') throw new Error(`the server refused it: ${kind}`);
}
