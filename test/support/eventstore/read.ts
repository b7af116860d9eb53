import { randomUUID } from 'node:crypto';
import type { ServiceError } from '@grpc/grpc-js';
import { AllSubscription } from './all-subscription.js';
import { InvalidPosition, readBackwards, readForwards } from './all-pages.js';
import { streamNameOf } from './append.js';
import {
  handlerFailed,
  invalidArgument,
  invalidPosition,
  notLeader,
  streamDeleted,
  unavailable,
  unexpectedPosition,
} from './errors.js';
import { PAGE_SIZE, parseFilter } from './filter.js';
import { streams } from './generated.js';
import type { Node } from './node.js';
import { Outlet, type ReadCall, type ReadRequest } from './outlet.js';
import { at, type Position } from './position.js';
import { StreamSubscription } from './stream-subscription.js';

type Options = NonNullable<ReturnType<ReadRequest['getOptions']>>;
type AllOptions = NonNullable<ReturnType<Options['getAll']>>;
type StreamOptions = NonNullable<ReturnType<Options['getStream']>>;

const { FORWARDS } = streams.ReadReq.Options.ReadDirection;
const ZERO: Position = { commit: 0n, prepare: 0n };

/** `Read`: reads of a stream or of `$all`, and subscriptions to them. */
export function read(node: Node) {
  return (call: ReadCall): void => {
    serve(node, call).catch((error: unknown) => call.emit('error', error));
  };
}

async function serve(node: Node, call: ReadCall): Promise<void> {
  const refusal = node.access.refusal(call.metadata);
  if (refusal !== undefined) throw refusal;
  const options = call.request.getOptions();
  if (options === undefined) throw invalidArgument('There are no options');
  const isSubscription = options.hasSubscription();
  if (node.role === 'follower' && call.metadata.get('requires-leader')[0]?.toString() === 'true') {
    throw notLeader(node.leader);
  }
  const planned = isSubscription ? node.faults.nextSubscription() : node.faults.nextRead();
  if (planned?.fault === 'unavailable') throw unavailable();
  if (planned?.fault === 'notLeader') throw notLeader(planned.leader ?? node.leader);

  const outlet = new Outlet(call, { hasCheckpoints: isSubscription && options.hasFilter(), fault: planned });
  const task = isSubscription ? subscribe(node, outlet, options) : readOnce(node, outlet, options);
  try {
    await task;
  } catch (error) {
    if (error instanceof InvalidPosition) node.invalidPositions += 1;
    if (!(error instanceof InvalidPosition)) outlet.fail(error as ServiceError);
    else if (!node.version.namesInvalidPositions) outlet.fail(handlerFailed());
    else outlet.fail(isSubscription ? invalidPosition() : unexpectedPosition());
  }
}

async function subscribe(node: Node, outlet: Outlet, options: Options): Promise<void> {
  node.outlets.add(outlet);
  outlet.onOver(() => node.outlets.delete(outlet));
  if (outlet.isOver) node.outlets.delete(outlet);
  const all = options.getAll();
  const stream = options.getStream();
  const id = randomUUID();
  if (all !== undefined) {
    const filterOptions = options.getFilter();
    const filter = filterOptions === undefined ? undefined : parseFilter(filterOptions);
    await new AllSubscription(node, outlet, filter).run(id, toSubscriptionPosition(all));
  } else if (stream !== undefined) {
    const name = streamNameOf(stream.getStreamIdentifier());
    await new StreamSubscription(node, outlet, name).run(id, toSubscriptionRevision(stream));
  }
}

async function readOnce(node: Node, outlet: Outlet, options: Options): Promise<void> {
  const all = options.getAll();
  const stream = options.getStream();
  if (all !== undefined) await readAll(node, outlet, options, all);
  else if (stream !== undefined) await readStream(node, outlet, options, stream);
  outlet.end();
}

async function readAll({ store }: Node, outlet: Outlet, options: Options, all: AllOptions): Promise<void> {
  const readPage = options.getReadDirection() === FORWARDS ? readForwards : readBackwards;
  const filterOptions = options.getFilter();
  const filter = filterOptions === undefined ? {} : parseFilter(filterOptions);
  let position = toPosition(all, at(store.end));
  let left = BigInt(options.getCount());
  while (left > 0n && !outlet.isOver) {
    const maxCount = left < PAGE_SIZE ? Number(left) : PAGE_SIZE;
    const page = readPage(store, position, { ...filter, maxCount });
    for (const record of page.records) {
      const wait = outlet.event(record);
      if (wait !== undefined) await wait;
      if (outlet.isOver) return;
    }
    if (page.isEnd) return;
    position = page.next;
    left -= BigInt(page.records.length);
  }
}

async function readStream({ store }: Node, outlet: Outlet, options: Options, where: StreamOptions): Promise<void> {
  const name = streamNameOf(where.getStreamIdentifier());
  const isForwards = options.getReadDirection() === FORWARDS;
  let left = BigInt(options.getCount());
  let revision: bigint | undefined;
  while (left > 0n && !outlet.isOver) {
    const state = store.stateOf(name);
    if (state === 'tombstoned') throw streamDeleted(name);
    const stream = store.streams.get(name);
    if (state === 'none' || stream === undefined) {
      const wait = outlet.streamNotFound(name);
      if (wait !== undefined) await wait;
      return;
    }
    const last = stream.lastRevision;
    revision ??= toRevision(where, isForwards ? last + 1n : last);
    const first = stream.firstReadable(store.limitsOf(name));
    if (isForwards && revision < first) revision = first;
    if (!isForwards && revision > last) revision = last;
    if (isForwards ? revision > last : revision < first) return;

    // A page is read in one step; the stream may grow or be deleted between two pages.
    for (let i = 0; i < PAGE_SIZE && left > 0n && revision >= first && revision <= last; i += 1) {
      const record = stream.at(revision);
      revision += isForwards ? 1n : -1n;
      if (record === undefined) continue;
      left -= 1n;
      const wait = outlet.event(record);
      if (wait !== undefined) await wait;
      if (outlet.isOver) return;
    }
  }
}

function toPosition(all: AllOptions, end: Position): Position {
  if (all.hasEnd()) return end;
  if (all.hasStart()) return ZERO;
  return toGivenPosition(all);
}

/** The start of a subscription: after a position, at the end, or before everything. */
function toSubscriptionPosition(all: AllOptions): Position | 'start' | 'end' {
  if (all.hasEnd()) return 'end';
  return all.hasStart() ? 'start' : toGivenPosition(all);
}

function toGivenPosition(all: AllOptions): Position {
  const position = all.getPosition();
  if (position === undefined) throw invalidArgument('There is no position');
  return { commit: BigInt(position.getCommitPosition()), prepare: BigInt(position.getPreparePosition()) };
}

function toRevision(where: StreamOptions, end: bigint): bigint {
  if (where.hasEnd()) return end;
  return where.hasStart() ? 0n : BigInt(where.getRevision());
}

/** The revision after which a subscription begins. */
function toSubscriptionRevision(where: StreamOptions): bigint | 'end' {
  if (where.hasEnd()) return 'end';
  return where.hasStart() ? -1n : BigInt(where.getRevision());
}
