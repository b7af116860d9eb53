import { z } from 'zod';

/** A time as events carry it: UTC in milliseconds, in one form, so that times are ordered as their texts are. */
export const timestamp = z.iso.datetime({
  precision: 3,
  error: 'must be a time in UTC such as 2026-01-01T00:00:00.000Z',
});
