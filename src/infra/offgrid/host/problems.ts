import type { SignedGrant } from '../wire/claim.js';

/** Why a host refuses a request, with the status it answers. */
const STATUS = {
  BAD_REQUEST: 400,
  UNAUTHENTICATED: 401,
  /** The claim or batch is not signed by the origin whose key was pinned. */
  NOT_SIGNED: 403,
  FENCED: 403,
  NOT_FOUND: 404,
  /** A batch leaves something out. */
  GAP: 409,
  FORKED: 409,
  /** Nobody claimed to write under this epoch here. */
  NOT_CLAIMED: 409,
  TOO_LARGE: 413,
  /** What was stored is not what comes back. */
  DAMAGED: 500,
  BUSY: 503,
  FULL: 507,
} as const;

export type RefusalCode = keyof typeof STATUS;

/** What a refusal carries beside its message. */
export interface RefusalDetails {
  /** The last sequence the host has. */
  readonly head?: number;
  /** Who may write, as they claimed it. */
  readonly granted?: SignedGrant;
  /** The event it is about. */
  readonly sequence?: number;
}

/** A request is refused; nothing was changed by it. */
export class HostRefusal extends Error {
  override readonly name = 'HostRefusal';
  readonly code: RefusalCode;
  readonly details: RefusalDetails;

  constructor(code: RefusalCode, message: string, details: RefusalDetails = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }

  get status(): number {
    return STATUS[this.code];
  }

  /** As it is sent. */
  get body(): { readonly error: { readonly code: string; readonly message: string } } & RefusalDetails {
    return { error: { code: this.code, message: this.message }, ...this.details };
  }
}
