import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RootKey } from '../../../../src/infra/crypto/root-key.js';
import type { RunningHost } from '../../../../src/infra/offgrid/host/server.js';
import { HostError } from '../../../../src/infra/offgrid/replicator/host-port.js';
import type { AddressedEvent } from '../../../../src/infra/offgrid/wire/batch.js';
import { newFolder, newHost } from '../../../support/offgrid/host.js';
import { digests, evidenceOf, rootOf } from '../../../support/offgrid/raw.js';
import { clientOf, ORIGIN, Writer } from '../../../support/offgrid/writer.js';

/** How many sequences are tried: more to look for what is rare. */
const RUNS = Number(process.env['HOST_MODEL_RUNS'] ?? 15);
const TIMEOUT_MS = 30_000 + RUNS * 2_000;
const MAX_STEPS = 12;
const MAX_EPOCHS = 4;
const MAX_EVENTS = 10;

type Step =
  | { readonly kind: 'claim'; readonly epoch: number; readonly writer: number }
  | {
      readonly kind: 'ship';
      readonly epoch: number;
      readonly from: number;
      readonly count: number;
      readonly story: Story;
    }
  | { readonly kind: 'restart' };

/** A history that is its own from a sequence on. */
interface Story {
  readonly name: string;
  readonly since: number;
}

const root = RootKey.generate();
const writers = new Writer(root);
const made = new Map<string, AddressedEvent>();

/** Some events are over the threshold of files, some are not. */
function eventOf(sequence: number, { name, since }: Story): AddressedEvent {
  const story = sequence < since ? 'common' : name;
  const key = `${story} ${sequence}`;
  const event = made.get(key) ?? writers.events(sequence, sequence, story, sequence % 3 === 0 ? 500 : 0)[0]!;
  made.set(key, event);
  return event;
}

const storyArbitrary = fc.record({
  name: fc.constantFrom('red', 'green'),
  since: fc.oneof(fc.constant(1_000), fc.integer({ min: 1, max: MAX_EVENTS })),
});
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('claim' as const),
      epoch: fc.integer({ min: 1, max: MAX_EPOCHS }),
      writer: fc.constantFrom(1, 1, 1, 2),
    }),
  },
  {
    weight: 9,
    arbitrary: fc.record({
      kind: fc.constant('ship' as const),
      epoch: fc.integer({ min: 1, max: MAX_EPOCHS }),
      from: fc.integer({ min: 1, max: MAX_EVENTS }),
      count: fc.integer({ min: 1, max: 5 }),
      story: storyArbitrary,
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
);

/** The rules, in memory. */
class Model {
  granted: { epoch: number; writer: string } | undefined;
  log: { readonly event: AddressedEvent; readonly epoch: number }[] = [];
  readonly evidence = new Set<string>();

  get events() {
    return this.log.map(({ event }) => event);
  }

  get epoch() {
    return this.log.at(-1)?.epoch ?? 0;
  }

  claim(epoch: number, writer: string): string {
    const { granted } = this;
    if (granted !== undefined && epoch < granted.epoch) return 'FENCED';
    if (granted?.epoch === epoch && writer !== granted.writer) return 'FENCED';
    this.granted = { epoch, writer };
    return 'OK';
  }

  ship(epoch: number, batch: readonly AddressedEvent[]): string {
    const from = batch[0]!.sequence;
    if (this.granted === undefined || epoch > this.granted.epoch) return 'NOT_CLAIMED';
    if (epoch < this.granted.epoch) return 'FENCED';
    if (from > this.log.length + 1) return 'GAP';
    const isOther = (event: AddressedEvent) => this.log[event.sequence - 1]?.event !== event;
    const conflict = batch.find((event) => event.sequence <= this.log.length && isOther(event));
    if (conflict !== undefined && this.epoch === epoch) {
      for (const event of batch.filter(isOther)) this.#keep('FORK', epoch, event);
      return 'FORKED';
    }
    const end = from + batch.length - 1;
    const isStale = this.epoch < epoch && end < this.log.length;
    const kept = conflict !== undefined ? conflict.sequence - 1 : isStale ? end : this.log.length;
    for (const { event, epoch: under } of this.log.splice(kept)) this.#keep('SET_ASIDE', under, event);
    for (const event of batch) this.log[event.sequence - 1] = { event, epoch };
    return 'OK';
  }

  #keep(kind: string, epoch: number, { sequence, eid }: AddressedEvent): void {
    const there = [...this.evidence].some((known) => known.endsWith(` ${sequence} ${epoch} ${eid.join()}`));
    if (!there) this.evidence.add(`${kind} ${sequence} ${epoch} ${eid.join()}`);
  }

  get counted() {
    return [...this.evidence].map((kept) => kept.split(' ').slice(0, 3).join(' ')).sort();
  }
}

function outcomeOf(asked: Promise<unknown>): Promise<string> {
  return asked.then(
    () => 'OK',
    (error: unknown) => {
      if (error instanceof HostError) return error.code;
      throw error;
    },
  );
}

it(
  'a host keeps to its rules, whatever comes in whatever order, and its root is right after all of it',
  { timeout: TIMEOUT_MS },
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(stepArbitrary, { minLength: 3, maxLength: MAX_STEPS }), async (steps) => {
        const folder = await newFolder();
        const options = { folder, chunkThreshold: 300 };
        let host: RunningHost = await newHost(options);
        const model = new Model();
        const perform = async (step: Step): Promise<void> => {
          if (step.kind === 'restart') {
            await host.close();
            host = await newHost(options);
            return;
          }
          const client = clientOf(host);
          if (step.kind === 'claim') {
            const writer = writers.next(step.epoch, `abcdef:writer-${step.writer}`);
            expect(await outcomeOf(writer.claim(client))).toBe(model.claim(step.epoch, writer.grant.writer));
            return;
          }
          const batch = Array.from({ length: step.count }, (_, i) => eventOf(step.from + i, step.story));
          const shipped = await outcomeOf(writers.next(step.epoch).ship(client, batch));
          expect(shipped).toBe(model.ship(step.epoch, batch));
        };
        for (const step of [{ kind: 'claim', epoch: 1, writer: 1 } as const, ...steps]) {
          await perform(step);
          const { events, epoch } = model;
          const head = await clientOf(host).head(ORIGIN, 'c');
          expect(head).toMatchObject({ sequence: events.length, epoch, root: rootOf(events) });
        }
        expect(digests(await clientOf(host).events(ORIGIN, 0, 100))).toEqual(digests(model.events));
        const kept = (await evidenceOf(folder)).map(({ kind, sequence, epoch }) => `${kind} ${sequence} ${epoch}`);
        expect(kept.sort()).toEqual(model.counted);
        await host.close();
      }),
      { numRuns: RUNS },
    );
  },
);
