/** Why a core takes no more commands: the hosts have, or follow, another history than its log. */
export interface HaltReason {
  readonly code: 'BEHIND' | 'FORKED';
  readonly message: string;
  /** The line that a host has shown; a line that is begun is above it. */
  readonly line?: number;
}

/** What a core's folder remembers of its processes. */
export interface WriterRecord {
  readonly logId: string;
  /** The highest that was claimed from this folder. */
  readonly epoch: number;
  /** Why it may write no more, until an operator resumes it. */
  readonly stopped?: HaltReason;
}
