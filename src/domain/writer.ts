/** Why a core accepts no more commands: the hosts have, or follow, a history other than its log. */
export interface HaltReason {
  readonly code: 'BEHIND' | 'FORKED';
  readonly message: string;
  /** The line that a host has shown; a new line must have a higher number. */
  readonly line?: number;
}

/** What a core's folder records about the processes that write to hosts from it. */
export interface WriterRecord {
  readonly logId: string;
  /** The highest epoch that was claimed from this folder. */
  readonly epoch: number;
  /** Why no process may write, until an operator resumes it. */
  readonly stopped?: HaltReason;
}
