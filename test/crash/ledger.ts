/** What a client was told: which event its request became. */
export interface Place {
  readonly stream: string;
  readonly revision: bigint;
  readonly position: bigint;
}

/** A change that was answered as REPLICATED, and how many events each host had when the answer came. */
export interface Replicated {
  readonly position: bigint;
  readonly held: readonly number[];
}

/** One thing a client wants, however often it had to ask. */
export interface Request {
  readonly name: keyof typeof EVENT_OF;
  readonly input: Readonly<Record<string, unknown>>;
  readonly consistency: 'APPENDED' | 'PROJECTED' | 'REPLICATED';
  readonly key?: string;
  /** The correlation id of each time it was sent. */
  readonly sent: string[];
  /** What it was told, if the answer arrived. */
  answer?: { readonly places: readonly Place[] } | { readonly refused: string };
}

/** The event that each mutation records. */
export const EVENT_OF = {
  createMission: 'MissionCreated',
  updateMission: 'MissionUpdated',
  closeMission: 'MissionClosed',
  createTask: 'TaskCreated',
  createJob: 'JobCreated',
  claimJobs: 'JobDispatched',
  completeJob: 'JobCompleted',
  failJob: 'JobFailed',
} as const;

/** A job that a client works on. */
export interface Held {
  readonly id: string;
  readonly worker: string;
  readonly attempt: number;
}

/** What clients know, from answers alone: what they asked, what they were told, and what they can work on. */
export class Ledger {
  readonly requests: Request[] = [];
  readonly missions: string[] = [];
  readonly tasks: string[] = [];
  readonly held: Held[] = [];
  /** Requests under a key whose answer was lost; they are sent again. */
  readonly lost: Request[] = [];
  readonly replicated: Replicated[] = [];
  /** What no request should have been answered with. */
  readonly surprises: string[] = [];

  get answered(): number {
    return this.requests.filter(({ answer }) => answer !== undefined && 'places' in answer).length;
  }
}
