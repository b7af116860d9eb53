/** Receives the progress of long work, to show it to the operator. */
export interface Watch {
  /**
   * @param part the part of the work, such as `events`
   * @param unit what is counted in it
   */
  readonly onProgress: (part: string, unit: string, done: number, total: number) => void;
  /** A problem that does not end the work. */
  readonly onTrouble: (message: string) => void;
}
