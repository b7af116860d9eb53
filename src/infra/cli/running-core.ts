import { readFile, realpath } from 'node:fs/promises';
import { parseJson } from '../../domain/json.js';
import { allows } from '../access/auth.js';
import type { Config } from '../app/config.js';
import { fetchText, type FetchBounds } from '../http-kit/bounded-fetch.js';
import { corePaths, type CoreAddress } from '../platform/core-paths.js';
import { CliError } from './errors.js';

/** The core may compute the digest of a large read model before it answers. */
const BOUNDS: FetchBounds = { timeoutMs: 300_000, maxBytes: 16 * 1024 * 1024 };

/** Sends a GraphQL request to the running core and resolves with its data. @throws CliError */
export type Ask = <Data>(query: string, variables?: Readonly<Record<string, unknown>>) => Promise<Data>;

/** Finds the core that runs on this data folder, and checks that this core is the one that answers. @throws CliError */
export async function runningCore(config: Config): Promise<Ask> {
  const { url, logId, dataDir } = await addressOf(config);
  if (dataDir !== (await realpath(config.dataDir)))
    throw new CliError(
      `The core at ${url} runs on ${dataDir}, not on ${config.dataDir}, which may be a copy of it. Start a core on this folder, or set SHERATAN_DATA_DIR to ${dataDir}.`,
    );
  const token = config.apiTokens.find(({ role }) => allows(role, 'operator'))?.token;
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const ask: Ask = async <Data>(query: string, variables: Readonly<Record<string, unknown>> = {}): Promise<Data> => {
    const request = {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...authorization },
      body: JSON.stringify({ query, variables }),
    };
    const { status, text } = await fetchText(`${url}/graphql`, request, BOUNDS).catch(() => {
      throw new CliError(
        `The core at ${url} does not answer: it is starting or stopping, or another command uses this data folder. Try again in a moment.`,
      );
    });
    const answer = (parseJson(text) ?? {}) as { data?: Data; errors?: { message: string }[] };
    if (answer.data === undefined || answer.data === null) {
      throw new CliError(`The core at ${url} refused: ${answer.errors?.[0]?.message ?? `status ${status}`}`);
    }
    return answer.data;
  };
  // A killed core leaves its address behind, where the core of another folder may listen by now.
  const { projections } = await ask<{ projections: { head: string }[] }>('{ projections { head } }');
  if (projections.some(({ head }) => !head.startsWith(`${logId}:`))) {
    throw new CliError(
      `The core at ${url} runs on another data folder. On this folder, another command is working or the core is starting. Try again in a moment.`,
    );
  }
  return ask;
}

/** The address, log and folder of the core that started last on this data folder. */
async function addressOf(config: Config): Promise<CoreAddress> {
  const { address } = corePaths(config.dataDir);
  try {
    return JSON.parse(await readFile(address, 'utf8')) as CoreAddress;
  } catch {
    throw new CliError(
      `Another command uses this data folder, or its core is starting (${address} cannot be read). Try again in a moment.`,
    );
  }
}
