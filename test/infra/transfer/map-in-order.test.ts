import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mapInOrder } from '../../../src/infra/transfer/map-in-order.js';
import { collect } from '../../support/events.js';

const MIB = 1024 * 1024;

interface Value {
  readonly bytes: number;
  readonly turns: number;
}

/** Works on a value for its number of turns of the event loop, and records how much work is pending. */
class Work {
  readonly begun: Value[] = [];
  most = { values: 0, bytes: 0 };
  #underWay = new Set<Value>();

  readonly do = async (value: Value): Promise<Value> => {
    this.begun.push(value);
    this.#underWay.add(value);
    const bytes = [...this.#underWay].reduce((sum, each) => sum + each.bytes, 0);
    this.most = { values: Math.max(this.most.values, this.#underWay.size), bytes: Math.max(this.most.bytes, bytes) };
    for (let i = 0; i < value.turns; i += 1) await turn();
    this.#underWay.delete(value);
    return value;
  };

  get isDone(): boolean {
    return this.#underWay.size === 0;
  }
}

async function* from<V>(values: readonly V[]): AsyncIterable<V> {
  for (const value of values) yield Promise.resolve(value);
}

function values(count: number, bytes = 1): Value[] {
  return Array.from({ length: count }, (_, i) => ({ bytes, turns: (i * 7) % 5 }));
}

describe('work in order', () => {
  it('begins and yields in the order of the values, however long each takes', async () => {
    const value = fc.record({ bytes: fc.integer({ min: 0, max: 20 * MIB }), turns: fc.integer({ min: 0, max: 8 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(value, { maxLength: 60 }), async (given) => {
        const work = new Work();
        expect(await collect(mapInOrder(from(given), work.do))).toEqual(given);
        expect(work.begun).toEqual(given);
      }),
      { numRuns: 50 },
    );
  });

  it('is done on many values at a time, and on no more than 200', async () => {
    const work = new Work();
    await collect(mapInOrder(from(values(1_000)), work.do));
    expect(work.most.values).toBeGreaterThan(20);
    expect(work.most.values).toBeLessThanOrEqual(200);
  });

  it('is done on no more than 16 MiB and one value at a time', async () => {
    const work = new Work();
    const given = values(50, 3 * MIB).map((value) => ({ ...value, turns: 20 }));
    await collect(mapInOrder(from(given), work.do));
    expect(work.most.values).toBeGreaterThan(3);
    expect(work.most.bytes).toBeLessThanOrEqual(19 * MIB);
  });

  it('ends with the first failure in that order, after pending work', async () => {
    const work = new Work();
    const given = values(100);
    const done: Value[] = [];
    const consume = async () => {
      const fail = async (value: Value) => {
        await work.do(value);
        if (value === given[70] || value === given[50]) throw new Error(`value ${given.indexOf(value)}`);
        return value;
      };
      for await (const value of mapInOrder(from(given), fail)) done.push(value);
    };
    await expect(consume()).rejects.toThrow('value 50');
    expect(done).toEqual(given.slice(0, 50));
    expect(work.isDone).toBe(true);
  });

  it('ends when its reader stops, after pending work', async () => {
    const work = new Work();
    const given = values(1_000);
    for await (const value of mapInOrder(from(given), work.do)) if (value === given[10]) break;
    expect(work.isDone).toBe(true);
    expect(work.begun.length).toBeLessThanOrEqual(211);
  });

  it('fails as its source fails', async () => {
    async function* broken(): AsyncIterable<Value> {
      yield { bytes: 1, turns: 3 };
      await turn();
      throw new Error('the source broke');
    }
    await expect(collect(mapInOrder(broken(), new Work().do))).rejects.toThrow('the source broke');
  });
});
