import { vi } from 'vitest';
import type * as TransferSize from '../../src/infra/offgrid/protocol/transfer-size.js';
import { transfers } from './transfers.js';

/**
 * Batches and pages that end anywhere, in place of src/infra/offgrid/protocol/transfer-size.js: the sizes of the
 * protocol suit links and disks; a simulated history would be one batch. The world decides how much is sent at a time.
 */

const real = await vi.importActual<typeof TransferSize>('../../src/infra/offgrid/protocol/transfer-size.js');

export const FIRST_BYTES = 1;
export const { sizeAfterTimeout } = real;

export function sizeAfter(bytes: number, tookMs: number, max: number): number {
  return transfers.draw?.() ?? real.sizeAfter(bytes, tookMs, max);
}
