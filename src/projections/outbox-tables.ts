import type { RowOf } from './projection.js';

const text = { type: 'text' } as const;
const optionalText = { type: 'text', nullable: true } as const;
const integer = { type: 'integer' } as const;
const optionalInteger = { type: 'integer', nullable: true } as const;
const fixedText = { type: 'text', fixed: true } as const;
const fixedInteger = { type: 'integer', fixed: true } as const;

/** The key of the one row of `progress`. */
export const PROGRESS = 'outbox';

/**
 * `entries` numbers the replicated events, 1, 2, 3 … in log order, and its rows never change: how far replication has got is
 * kept once, in `progress`, and not in each row. The view `outbox` joins the two.
 */
export const outboxTables = {
  entries: {
    key: 'id',
    columns: {
      /** The sequence. */
      id: fixedInteger,
      /** The stream. */
      key: fixedText,
      etype: fixedInteger,
      event_id: fixedText,
      /** The size of data and metadata as JSON. */
      bytes: fixedInteger,
      created_at: fixedText,
      position: { type: 'position', local: true, fixed: true },
    },
    indexes: { by_key: { columns: ['key', 'id'] }, by_position: { columns: ['position'] } },
  },
  progress: {
    key: 'name',
    columns: {
      name: fixedText,
      /** The log's origin, as its first key names it; null before that. Events that name another origin have no effect. */
      origin: optionalText,
      /** The root key that the log's first key names; null before that. */
      root_key_id: optionalText,
      /** The sequence of the last replicated event. */
      head: integer,
      /** The sequence up to which a quorum has signed. */
      quorum: integer,
      /** When `quorum` last rose. */
      quorum_at: optionalText,
      /** The version of the policy in force; null before the first. */
      policy: optionalInteger,
      required_acks: integer,
      writer_epoch: integer,
      /** The line of the history, from 1. */
      line: integer,
      /** The line that the next policy begins, when it is above `line`: a loss was accepted, or an operator decided so. */
      next_line: integer,
      /** The sequence of the policy that began the line; 0 before the first. */
      begun: integer,
      /** The epoch under which the quorum was reached; 0 before protocol 2. */
      quorum_epoch: integer,
      /** The epoch of the last election that was won in this line; 0 before one. */
      elected_epoch: integer,
      base: integer,
      /** 1 from a restore until an election is won. */
      restored: integer,
      /** The weight of hosts that may be dishonest, as given to the restore. */
      dishonest_weight: integer,
      /** JSON: the sequences of the HistoryHoles before the line, or before the next line once it is announced. */
      holes: text,
      key_epoch: integer,
    },
    indexes: {},
  },
  /** Every quorum sequence so far, and when it was recorded. */
  quorums: { key: 'sequence', columns: { sequence: fixedInteger, at: fixedText }, indexes: {} },
  policies: {
    key: 'version',
    columns: {
      version: fixedInteger,
      sequence: fixedInteger,
      required: fixedInteger,
      /** JSON: the hosts as the policy names them. */
      hosts: fixedText,
      line: fixedInteger,
      created_at: fixedText,
    },
    indexes: {},
  },
  hosts: {
    key: 'host',
    columns: {
      host: fixedText,
      url: text,
      verify_key: text,
      /** Weight and confirmed: from the last policy that named the host. */
      weight: integer,
      confirmed: integer,
      state: text,
      why: text,
      /** The sequence recorded with the last change of state. */
      state_sequence: integer,
      /** The last sequence that the host has signed for. */
      sequence: integer,
      /** JSON: the head that was counted last; null before that, and for heads of protocol 1. */
      head: optionalText,
      acknowledged_at: optionalText,
      /** JSON: the proof that the host is dishonest; null unless it is suspended for that. */
      proof: optionalText,
      proven_at: optionalText,
      updated_at: text,
    },
    indexes: {},
  },
  keys: {
    key: 'key_epoch',
    columns: {
      key_epoch: fixedInteger,
      sequence: fixedInteger,
      key_id: fixedText,
      root_key_id: fixedText,
      wrapped_key: fixedText,
      created_at: fixedText,
    },
    indexes: {},
  },
} as const;

/** The tables of the `outbox` projection. */
export type OutboxTables = typeof outboxTables;
/** A row of `entries`: a replicated event. */
export type EntryRow = RowOf<OutboxTables['entries']>;
/** The row of `progress`: how far replication has got. */
export type ProgressRow = RowOf<OutboxTables['progress']>;
/** A row of `policies`. */
export type PolicyRow = RowOf<OutboxTables['policies']>;
/** A row of `hosts`. */
export type HostRow = RowOf<OutboxTables['hosts']>;
/** A row of `keys`: a key epoch. */
export type KeyRow = RowOf<OutboxTables['keys']>;

/** The view for operators; docs/operations.md. `acks` is the weight of hosts that have signed, by the policy in force. */
export const OUTBOX_VIEW = `
  SELECT e.id, e.key, e.etype, iif(e.id <= p.quorum, 'completed', 'pending') AS status, p.required_acks,
    (SELECT coalesce(sum(n.value ->> 'weight'), 0)
      FROM {policies} i, json_each(i.hosts) n JOIN {hosts} h ON h.host = n.value ->> 'host'
      WHERE i.version = p.policy AND h.sequence >= e.id) AS acks,
    e.position, e.event_id, e.bytes, e.created_at,
    (SELECT q.at FROM {quorums} q WHERE q.sequence >= e.id ORDER BY q.sequence LIMIT 1) AS completed_at
  FROM {entries} e, {progress} p`;
