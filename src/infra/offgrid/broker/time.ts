/** Whole seconds since 1970, as the broker's protocol has its times. */
export function unixSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1_000);
}
