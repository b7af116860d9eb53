/** What an answer states: the event that the request became. */
export interface Place {
  readonly stream: string;
  readonly revision: bigint;
  readonly position: bigint;
}

/** A change that was answered as REPLICATED, and how many events each host had when the answer arrived. */
export interface Replicated {
  readonly position: bigint;
  readonly held: readonly number[];
}

/** One request of a client, however often it was sent. */
export interface Request {
  readonly name: keyof typeof EVENT_OF;
  readonly input: Readonly<Record<string, unknown>>;
  readonly consistency: 'APPENDED' | 'PROJECTED' | 'REPLICATED';
  readonly key?: string;
  /** The correlation id of each attempt. */
  readonly sent: string[];
  /** The answer, if it arrived. */
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

/** What clients know only from answers: their requests, the answers, and what they can work on. */
export class Ledger {
  readonly requests: Request[] = [];
  readonly missions: string[] = [];
  readonly tasks: string[] = [];
  readonly held: Held[] = [];
  /** Requests under a key whose answer was lost; they are sent again. */
  readonly lost: Request[] = [];
  readonly replicated: Replicated[] = [];
  /** Answers that no request should have received. */
  readonly surprises: string[] = [];

  get answered(): number {
    return this.requests.filter(({ answer }) => answer !== undefined && 'places' in answer).length;
  }
}
