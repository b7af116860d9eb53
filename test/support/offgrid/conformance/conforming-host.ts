import { inHostFile } from '../host-file.js';
import { HOST_DEFAULTS, newFolder, newHost } from '../host.js';
import { type HostAt } from '../by-hand.js';
import { ForeignHost } from '../foreign-host.js';

/** A host against which the cases of protocol 2 are run, in any language; it stops when the test ends. */
export interface ConformingHost extends HostAt {
  /** Stops it and starts it again on its folder. */
  restart(options?: ConformingOptions): Promise<void>;
  /** The bytes that it counts against its budget. */
  usedBytes(): Promise<number>;
  /** The sequences of the events that are kept as evidence, in order. */
  evidence(): Promise<readonly number[]>;
  /** Why trees are kept as evidence, FORK or SET_ASIDE, in the order of arrival. */
  evidenceKinds(): Promise<readonly string[]>;
}

interface ConformingOptions {
  readonly budgetBytes?: number;
}

/** Starts a host in a folder of its own. */
export type StartHost = (options?: ConformingOptions) => Promise<ConformingHost>;

/** The product's host, in this process. */
export const startHost2: StartHost = async (options = {}) => {
  const folder = await newFolder();
  let budgetBytes = options.budgetBytes ?? HOST_DEFAULTS.budgetBytes;
  let host = await newHost({ folder, budgetBytes });
  return {
    get url() {
      return host.url;
    },
    get identity() {
      return host.identity;
    },
    restart: async (changed = {}) => {
      await host.close();
      budgetBytes = changed.budgetBytes ?? budgetBytes;
      host = await newHost({ folder, budgetBytes });
    },
    usedBytes: () => Promise.resolve(budgetBytes - host.freeBytes),
    evidence: () => column(folder, 'SELECT sequence AS value FROM evidence ORDER BY sequence'),
    evidenceKinds: () => column(folder, 'SELECT kind AS value FROM evidence_trees ORDER BY rowid'),
  };
};

/** The host in Python. */
export const startForeignHost: StartHost = async (options) => {
  const host = await ForeignHost.start(options);
  const { folder, url, identity } = host;
  const size = (table: string) => `(SELECT coalesce(sum(length(sealed) + 256), 0) FROM ${table})`;
  return {
    ...{ url, identity },
    restart: (changed) => host.restart(changed),
    usedBytes: async () => {
      const [used] = await column<number>(folder, `SELECT ${size('event')} + ${size('evidence_event')} AS value`);
      return used ?? 0;
    },
    evidence: () => column(folder, 'SELECT sequence AS value FROM evidence_event ORDER BY sequence'),
    evidenceKinds: () => column(folder, 'SELECT why AS value FROM evidence ORDER BY id'),
  };
};

/** A column of the host's file. */
async function column<V>(folder: string, sql: string): Promise<readonly V[]> {
  return (await inHostFile<{ value: V }>(folder, sql)).map(({ value }) => value);
}
