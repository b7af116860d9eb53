import { z } from 'zod';

/** The form of a time in events: UTC in milliseconds, always in the same form, so that texts sort like the times. */
export const timestamp = z.iso.datetime({
  precision: 3,
  error: 'must be a time in UTC such as 2026-01-01T00:00:00.000Z',
});
