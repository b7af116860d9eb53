/** `Append`: options, then the events one by one, one call per append. A wrong version is an answer, not an error. */
import type { sendUnaryData, ServerReadableStream, ServiceError } from '@grpc/grpc-js';
import { append, failureOf, parseEvent, parseExpected, sizeOf, streamNameOf } from './append.js';
import type { Expected } from './commit-check.js';
import { appendTooLarge, invalidArgument } from './errors.js';
import { shared, streams } from './generated.js';
import type { Node } from './node.js';
import type { Proposed } from './record.js';
import type { Appended } from './store.js';

type Request = InstanceType<typeof streams.AppendReq>;
type Response = InstanceType<typeof streams.AppendResp>;
type Respond = sendUnaryData<Response>;

export function singleAppend(node: Node) {
  return (call: ServerReadableStream<Request, Response>, respond: Respond): void => {
    const append = new SingleAppend(node, call, respond);
    call.on('data', (request: Request) => append.attempt(() => append.receive(request)));
    call.on('end', () => append.attempt(() => append.finish()));
    append.attempt(() => append.authorize());
  };
}

class SingleAppend {
  readonly #node: Node;
  readonly #call: ServerReadableStream<Request, Response>;
  readonly #respond: Respond;
  readonly #events: Proposed[] = [];
  #target: { readonly stream: string; readonly expected: Expected } | undefined;
  #sizeBytes = 0;
  #isOver = false;

  constructor(node: Node, call: ServerReadableStream<Request, Response>, respond: Respond) {
    this.#node = node;
    this.#call = call;
    this.#respond = respond;
  }

  /** Runs a step if none failed before; the call fails if the step does. */
  attempt(step: () => void): void {
    if (this.#isOver) return;
    try {
      step();
    } catch (error) {
      this.#isOver = true;
      this.#respond(error as ServiceError);
    }
  }

  authorize(): void {
    const refusal = this.#node.access.refusal(this.#call.metadata);
    if (refusal !== undefined) throw refusal;
  }

  receive(request: Request): void {
    const message = request.getProposedMessage();
    if (message === undefined) {
      this.#target = parseTarget(request);
      return;
    }
    const event = parseEvent(message);
    this.#sizeBytes += sizeOf(event);
    if (this.#sizeBytes > this.#node.maxAppendSize) throw appendTooLarge(this.#node.maxAppendSize);
    this.#events.push(event);
  }

  finish(): void {
    const target = this.#target;
    if (target === undefined) throw invalidArgument('There are no options');
    const verdict = append(this.#node, this.#call.metadata, { ...target, events: this.#events });
    if (verdict.kind === 'silence' || verdict.kind === 'torn') return;
    const answer = () => {
      const failure = failureOf(verdict, target.stream);
      if (failure !== undefined) throw failure;
      this.#respond(null, toResponse(verdict as Appended, target.expected));
    };
    this.#node.answerAppend(() => this.attempt(answer));
  }
}

function parseTarget(request: Request): { readonly stream: string; readonly expected: Expected } {
  const options = request.getOptions();
  if (options === undefined) throw invalidArgument('There are no options');
  return {
    stream: streamNameOf(options.getStreamIdentifier()),
    expected: parseExpected(options, options.hasRevision() ? options.getRevision() : undefined),
  };
}

function toResponse(appended: Appended, expected: Expected): Response {
  const response = new streams.AppendResp();
  if (appended.kind === 'success') {
    const position = new streams.AppendResp.Position()
      .setCommitPosition(appended.position.toString())
      .setPreparePosition(appended.position.toString());
    const success = new streams.AppendResp.Success().setPosition(position);
    if (appended.revision < 0n) success.setNoStream(new shared.Empty());
    else success.setCurrentRevision(appended.revision.toString());
    return response.setSuccess(success);
  }
  const wrong = new streams.AppendResp.WrongExpectedVersion();
  if (expected === 'any') wrong.setExpectedAny(new shared.Empty());
  else if (expected === 'streamExists') wrong.setExpectedStreamExists(new shared.Empty());
  else if (expected === 'noStream') wrong.setExpectedNoStream(new shared.Empty());
  else wrong.setExpectedRevision(expected.toString());
  const current = appended.kind === 'wrongExpectedVersion' ? appended.current : -1n;
  if (current < 0n) wrong.setCurrentNoStream(new shared.Empty());
  else wrong.setCurrentRevision(current.toString());
  return response.setWrongExpectedVersion(wrong);
}
