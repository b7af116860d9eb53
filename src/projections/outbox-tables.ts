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
 * `entries` number the replicated events, 1, 2, 3 … in log order, and never change: how far they have got is said once,
 * in `progress`, and not in each. The view `outbox` puts the two together.
 */
export const outboxTables = {
  entries: {
    key: 'id',
    columns: {
      /** The sequence number. */
      id: fixedInteger,
      /** The stream. */
      key: fixedText,
      etype: fixedInteger,
      event_id: fixedText,
      /** Of data and metadata as JSON. */
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
      /** The log's origin, as its first key names it; null before that. What names another has no effect. */
      origin: optionalText,
      /** The root key that the log's first key names; null before that. */
      root_key_id: optionalText,
      /** The sequence number of the last replicated event. */
      head: integer,
      /** Up to here a quorum has signed. */
      quorum: integer,
      /** When that was recorded last. */
      quorum_at: optionalText,
      /** The version of the policy in force; null before the first. */
      policy: optionalInteger,
      required_acks: integer,
      writer_epoch: integer,
      /** How often a loss was accepted, plus 1. */
      line: integer,
      /** The line that the next policy begins, when it is above `line`: a loss was accepted, or an operator wants one. */
      next_line: integer,
      /** The sequence number of the policy that began the line; 0 before the first. */
      begun: integer,
      /** The epoch that the quorum was reached under; 0 before protocol 2. */
      quorum_epoch: integer,
      /** Of the last election that was won in this line; 0 before one. */
      elected_epoch: integer,
      base: integer,
      /** 1 from a restore until an election is won. */
      restored: integer,
      /** The weight of hosts that may lie, as the restore was told. */
      dishonest_weight: integer,
      /** JSON: the numbers of the HistoryHoles of the line, and of one that is to be begun. */
      holes: text,
      key_epoch: integer,
    },
    indexes: {},
  },
  /** The quorum sequences there were, and when. */
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
      /** As the last policy that named it has them; those it left out keep theirs. */
      weight: integer,
      confirmed: integer,
      state: text,
      why: text,
      /** Where it stood when its state changed. */
      state_sequence: integer,
      /** The last sequence it has signed for. */
      sequence: integer,
      /** JSON: the head that was counted last; null before that, and for heads of protocol 1. */
      head: optionalText,
      acknowledged_at: optionalText,
      /** JSON: what it has proven against itself; null unless it is suspended for that. */
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

export type OutboxTables = typeof outboxTables;
export type EntryRow = RowOf<OutboxTables['entries']>;
export type ProgressRow = RowOf<OutboxTables['progress']>;
export type PolicyRow = RowOf<OutboxTables['policies']>;
export type HostRow = RowOf<OutboxTables['hosts']>;
export type KeyRow = RowOf<OutboxTables['keys']>;

/** The table that people look at; docs/operations.md. `acks` is the weight, by the policy in force, of those who have signed. */
export const OUTBOX_VIEW = `
  SELECT e.id, e.key, e.etype, iif(e.id <= p.quorum, 'completed', 'pending') AS status, p.required_acks,
    (SELECT coalesce(sum(n.value ->> 'weight'), 0)
      FROM {policies} i, json_each(i.hosts) n JOIN {hosts} h ON h.host = n.value ->> 'host'
      WHERE i.version = p.policy AND h.sequence >= e.id) AS acks,
    e.position, e.event_id, e.bytes, e.created_at,
    (SELECT q.at FROM {quorums} q WHERE q.sequence >= e.id ORDER BY q.sequence LIMIT 1) AS completed_at
  FROM {entries} e, {progress} p`;
