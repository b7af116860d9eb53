/** A time in whole seconds since 1970, the unit of the broker's protocol. */
export function unixSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1_000);
}
