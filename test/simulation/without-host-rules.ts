import { vi } from 'vitest';
import type * as Decision from '../../src/infra/offgrid/host/batch-decision.js';
import { RefusalError } from '../../src/infra/offgrid/host/refusal-error.js';
import { isWithout } from './controls.js';

/** src/infra/offgrid/host/batch-decision.js, with what a control leaves out. */

const real = await vi.importActual<typeof Decision>('../../src/infra/offgrid/host/batch-decision.js');
type Batch = Decision.ReceivedBatch;
type Context = Parameters<typeof Decision.decideBatch>[1];

export async function decideBatch(batch: Batch, context: Context): Promise<Decision.BatchDecision> {
  const { state } = context;
  if (isWithout('staging')) {
    const { tree } = batch;
    const whole = { ...tree, value: { ...tree.value, base: 0 } };
    return real.decideBatch({ ...batch, tree: whole }, context);
  }
  try {
    const decision = await real.decideBatch(batch, context);
    if (!isWithout('forked') || !('forked' in decision)) return decision;
    return await real.decideBatch(batch, { ...context, state: { ...state, head: belowOf(state.head), known: null } });
  } catch (error) {
    if (!(error instanceof RefusalError)) throw error;
    if (isWithout('committed') && error.code === 'COMMITTED')
      return real.decideBatch(batch, { ...context, state: { ...state, known: null } });
    if (isWithout('older') && error.code === 'OLDER')
      return real.decideBatch(batch, { ...context, state: { ...state, head: lowest(state.head), known: null } });
    throw error;
  }
}

/** A head as if it were of the epoch before. */
function belowOf(head: Context['state']['head']): Context['state']['head'] {
  return head && { ...head, value: { ...head.value, epoch: head.value.epoch - 1 } };
}

/** A head as if it were below all others. */
function lowest(head: Context['state']['head']): Context['state']['head'] {
  return head && { ...head, value: { ...head.value, line: 0, epoch: 0 } };
}
