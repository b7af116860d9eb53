import { digestTables } from './digest.js';
import { readGeneration, type Generation, type ProjectionFile } from './projection-file.js';

/** The digest of a projection at a position. */
export interface PlacedDigest {
  readonly position: bigint;
  readonly digest: string;
}

/** The digest of a projection's live tables. It is computed once for each position and generation. */
export class LiveDigest {
  readonly #file: ProjectionFile;
  #last: { readonly live: Generation; readonly value: Promise<PlacedDigest> } | undefined;

  constructor(file: ProjectionFile) {
    this.#file = file;
  }

  of(live: Generation): Promise<PlacedDigest> {
    const last = this.#last;
    if (last?.live.position === live.position && last.live.number === live.number) return last.value;
    const value = this.#read(live);
    this.#last = { live, value };
    value.catch(() => (this.#last = undefined));
    return value;
  }

  #read(live: Generation): Promise<PlacedDigest> {
    return this.#file.read((connection) =>
      connection.transaction('BEGIN', async () => {
        const { position } = (await readGeneration(connection, 'live')) ?? live;
        return { position, digest: await digestTables(connection, this.#file.projection.tables, 'live') };
      }),
    );
  }
}
