import { z } from 'zod';
import { writeDurably } from '../../durable-file.js';
import { readIfThere } from '../../read-if-there.js';
import { MAX_EPOCH } from '../wire/claim.js';
import type { WriterRecord, WriterStore } from './ports.js';

const recordSchema = z.strictObject({
  epoch: z.number().int().min(1).max(MAX_EPOCH),
  writer: z.string(),
  isElected: z.boolean(),
  stopped: z.strictObject({ code: z.enum(['FENCED', 'FORKED', 'BEHIND']), message: z.string() }).exactOptional(),
}) satisfies z.ZodType<WriterRecord>;

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
      return recordSchema.parse(JSON.parse(text));
    } catch (error) {
      throw new Error(
        `${this.#path} is damaged. Move it away: the core then claims the hosts anew, under another epoch.`,
        {
          cause: error,
        },
      );
    }
  }

  async save(record: WriterRecord): Promise<void> {
    await writeDurably(this.#path, `${JSON.stringify(record, null, 2)}\n`);
  }
}
