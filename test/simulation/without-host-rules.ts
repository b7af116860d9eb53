import { vi } from 'vitest';
import type * as Decision from '../../src/infra/offgrid/host/batch-decision.js';
import { isWithout } from './controls.js';

/** src/infra/offgrid/host/batch-decision.js, with what a control leaves out. */

const real = await vi.importActual<typeof Decision>('../../src/infra/offgrid/host/batch-decision.js');
type Batch = Decision.ReceivedBatch;
type Context = Parameters<typeof Decision.decideBatch>[1];

export async function decideBatch(batch: Batch, context: Context): Promise<Decision.BatchDecision> {
  const { state } = context;
  if (isWithout('begun')) {
    const [head, known] = [begunAs(batch.tree, state.head), begunAs(batch.tree, state.known)];
    return real.decideBatch(batch, { ...context, state: { ...state, head, known } });
  }
  if (isWithout('staging')) {
    const { tree } = batch;
    const whole = { ...tree, value: { ...tree.value, base: 0 } };
    return real.decideBatch({ ...batch, tree: whole }, context);
  }
  const decision = await real.decideBatch(batch, context);
  if (!isWithout('forked') || !('forked' in decision)) return decision;
  return real.decideBatch(batch, { ...context, state: { ...state, head: belowOf(state.head), known: null } });
}

/** A tree as if its line had begun where another tree's did. */
function begunAs({ value: { begun } }: Batch['tree'], tree: Context['state']['head']): Context['state']['head'] {
  return tree && { ...tree, value: { ...tree.value, begun } };
}

/** A head as if it were of the epoch before. */
function belowOf(head: Context['state']['head']): Context['state']['head'] {
  return head && { ...head, value: { ...head.value, epoch: head.value.epoch - 1 } };
}
