/**
 * `BatchAppend`: one stream carries many appends, each in one or more chunks with its own correlation id; the first
 * chunk has the options, the last is marked as final. A failed append is answered with a `google.rpc.Status`; an error
 * of the call fails every append on it.
 */
import { status, type ServerDuplexStream, type ServiceError } from '@grpc/grpc-js';
import { append, parseEvent, parseExpected, sizeOf, streamNameOf, type Proposal, type Verdict } from './append.js';
import type { Expected } from './commit-check.js';
import type { streams } from './generated.js';
import type { Node } from './node.js';
import type { Proposed } from './record.js';
import { bytes, message, text, uint } from './wire.js';

type Request = InstanceType<typeof streams.BatchAppendReq>;
type Call = ServerDuplexStream<Request, Buffer>;

interface Pending extends Proposal {
  readonly events: Proposed[];
  sizeBytes: number;
}

export function batchAppend(node: Node) {
  return (call: Call): void => {
    const refusal = node.access.refusal(call.metadata);
    if (refusal?.code === status.UNAUTHENTICATED) {
      call.emit('error', refusal);
      return;
    }
    new BatchAppends(node, call, refusal !== undefined).run();
  };
}

/** The appends of one call. */
class BatchAppends {
  readonly #node: Node;
  readonly #call: Call;
  readonly #isDenied: boolean;
  /** The appends whose final chunk has not arrived, by correlation id. */
  readonly #pending = new Map<string, Pending>();
  #unanswered = 0;
  #isEnded = false;
  #isOver = false;

  constructor(node: Node, call: Call, isDenied: boolean) {
    this.#node = node;
    this.#call = call;
    this.#isDenied = isDenied;
  }

  run(): void {
    this.#call.on('data', (request: Request) => this.#receive(request));
    this.#call.on('cancelled', () => (this.#isOver = true));
    this.#call.on('end', () => {
      this.#isEnded = true;
      this.#endIfDone();
    });
  }

  #receive(request: Request): void {
    if (this.#isOver) return;
    const id = request.getCorrelationId()?.getString() ?? '';
    const options = request.getOptions();
    const stream = streamNameOf(options?.getStreamIdentifier());
    try {
      if (options !== undefined) {
        if (this.#isDenied) {
          this.#answer(id, stream, 'any', { kind: 'accessDenied' });
          return;
        }
        const expected = parseExpected(options, options.hasStreamPosition() ? options.getStreamPosition() : undefined);
        if (!this.#pending.has(id)) this.#pending.set(id, { stream, expected, events: [], sizeBytes: 0 });
      }
      const pending = this.#pending.get(id);
      if (pending !== undefined) this.#add(id, pending, request);
    } catch (error) {
      this.#pending.delete(id);
      this.#answer(id, stream, 'any', { kind: 'badRequest', error: error as ServiceError });
    }
  }

  #add(id: string, pending: Pending, request: Request): void {
    for (const event of request.getProposedMessagesList().map(parseEvent)) {
      pending.events.push(event);
      pending.sizeBytes += sizeOf(event);
    }
    const limitBytes = this.#node.maxAppendSize;
    const isTooLarge = pending.sizeBytes > limitBytes;
    if (!isTooLarge && !request.getIsFinal()) return;
    this.#pending.delete(id);
    const verdict: Verdict = isTooLarge
      ? { kind: 'tooLarge', limitBytes }
      : append(this.#node, this.#call.metadata, pending);
    this.#unanswered += 1;
    if (verdict.kind === 'torn') this.#isOver = true;
    if (verdict.kind === 'silence' || verdict.kind === 'torn') return;
    const answer = () => {
      this.#unanswered -= 1;
      this.#answer(id, pending.stream, pending.expected, verdict);
      this.#endIfDone();
    };
    if (verdict.kind === 'failure') answer();
    else this.#node.answerAppend(answer);
  }

  #answer(id: string, stream: string, expected: Expected, verdict: Verdict): void {
    if (this.#isOver) return;
    if (verdict.kind === 'failure') {
      this.#isOver = true;
      this.#call.emit('error', verdict.error);
      return;
    }
    this.#call.write(Buffer.concat([message(1, text(2, id)), ...encode(stream, expected, verdict)]));
  }

  #endIfDone(): void {
    if (this.#isOver || !this.#isEnded || this.#unanswered > 0) return;
    this.#isOver = true;
    this.#call.end();
  }
}

const NOTHING = new Uint8Array();

/** The fields of a `BatchAppendResp` after the correlation id. */
function encode(stream: string, expected: Expected, verdict: Verdict): Buffer[] {
  const echo = message(4, text(3, stream));
  if (verdict.kind !== 'success') return [message(2, ...encodeStatus(stream, expected, verdict)), echo];
  const revision = verdict.revision < 0n ? bytes(2, NOTHING) : uint(1, verdict.revision);
  const position = message(3, uint(1, verdict.position), uint(2, verdict.position));
  return [message(3, revision, position), echo];
}

/** A `google.rpc.Status` with the detail that the server adds. */
function encodeStatus(stream: string, expected: Expected, verdict: Exclude<Verdict, { kind: 'success' }>): Buffer[] {
  switch (verdict.kind) {
    case 'wrongExpectedVersion':
      return toStatus(status.ALREADY_EXISTS, 'WrongExpectedVersion', ...encodeVersions(expected, verdict.current));
    case 'deleted':
      return toStatus(status.NOT_FOUND, 'StreamDeleted', message(1, text(3, stream)));
    case 'timeout':
      return toStatus(status.DEADLINE_EXCEEDED, 'Timeout');
    case 'tooLarge':
      return toStatus(status.INVALID_ARGUMENT, 'MaximumAppendSizeExceeded', uint(1, verdict.limitBytes));
    case 'accessDenied':
      return toStatus(status.PERMISSION_DENIED, 'AccessDenied');
    case 'badRequest':
      return toStatus(status.INVALID_ARGUMENT, 'BadRequest', text(1, verdict.error.details));
    case 'notReady':
      return [text(2, 'Server Is Not Ready'), detail('google.protobuf.Empty')];
    case 'failure':
    case 'silence':
    case 'torn':
      throw new Error(`${verdict.kind} is no answer`);
  }
}

function encodeVersions(expected: Expected, current: bigint): Buffer[] {
  const words = { any: 4, streamExists: 5, noStream: 6 } as const;
  return [
    current < 0n ? bytes(2, NOTHING) : uint(1, current),
    typeof expected === 'bigint' ? uint(3, expected) : bytes(words[expected], NOTHING),
  ];
}

function toStatus(code: status, name: string, ...fields: readonly Buffer[]): Buffer[] {
  return [uint(1, code), text(2, name), detail(`event_store.client.${name}`, ...fields)];
}

/** A `google.protobuf.Any`. */
function detail(type: string, ...fields: readonly Buffer[]): Buffer {
  return message(3, text(1, `type.googleapis.com/${type}`), bytes(2, Buffer.concat(fields)));
}
