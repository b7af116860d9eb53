import { vi } from 'vitest';
import type * as TransferSize from '../../src/infra/offgrid/protocol/transfer-size.js';
import { transfers } from './transfers.js';

/**
 * Batches and pages that end anywhere, in the place of src/infra/offgrid/protocol/transfer-size.js: the sizes that the protocol
 * has suit links and disks; a history of a simulation would be one batch. The world says how much is sent at a time.
 */

const real = await vi.importActual<typeof TransferSize>('../../src/infra/offgrid/protocol/transfer-size.js');

export const FIRST_BYTES = 1;
export const { sizeAfterTimeout } = real;

export function sizeAfter(bytes: number, tookMs: number, max: number): number {
  return transfers.draw?.() ?? real.sizeAfter(bytes, tookMs, max);
}
