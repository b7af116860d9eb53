import { z } from 'zod';
import type { WriterRecord } from '../../../domain/writer.js';
import { readIfThere, writeDurably } from '../../platform/files.js';
import { MAX_EPOCH, MAX_LINE } from '../protocol/fields.js';
import type { WriterStore } from './replication-state.js';

const epoch = z.number().int().min(1).max(MAX_EPOCH);
const haltReason = z.strictObject({
  code: z.enum(['FORKED', 'BEHIND']),
  message: z.string(),
  line: z.number().int().min(1).max(MAX_LINE).exactOptional(),
});
const recordSchema = z.strictObject({
  logId: z.string().min(1),
  epoch,
  stopped: haltReason.exactOptional(),
}) satisfies z.ZodType<WriterRecord>;

/** The record of protocol 1: one epoch for each folder, and a writer whose name begins with the log's id. */
const firstSchema = z
  .strictObject({
    epoch,
    writer: z.string().regex(/^[^:]+:/),
    isElected: z.boolean(),
    stopped: z.strictObject({ code: z.enum(['FENCED', 'FORKED', 'BEHIND']), message: z.string() }).exactOptional(),
  })
  .transform(({ epoch: claimed, writer, stopped }): WriterRecord => {
    const record = { logId: writer.slice(0, writer.indexOf(':')), epoch: claimed };
    // A claim no longer stops a writer: whether another one writes is checked again.
    if (stopped === undefined || stopped.code === 'FENCED') return record;
    return { ...record, stopped: { code: stopped.code, message: stopped.message } };
  });

/** The writer's record in a file of the core's folder. */
export class WriterFile implements WriterStore {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws Error when the file is damaged */
  async load(): Promise<WriterRecord | undefined> {
    const text = (await readIfThere(this.#path))?.toString();
    if (text === undefined) return undefined;
    try {
      return z.union([recordSchema, firstSchema]).parse(JSON.parse(text));
    } catch (error) {
      throw new Error(
        `${this.#path} is damaged. Move it away: the core then claims the hosts again, under another epoch.`,
        { cause: error },
      );
    }
  }

  async save(record: WriterRecord): Promise<void> {
    await writeDurably(this.#path, `${JSON.stringify(record, null, 2)}\n`);
  }
}
