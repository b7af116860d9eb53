import { assertAuthKeyFor, type Config } from '../app/config.js';
import { knownHosts } from '../maintenance/known-hosts.js';
import { readHosts, type HostAddress } from '../offgrid/protocol/settings.js';
import type { AcceptedHistory, ReadHistory } from '../offgrid/restore/history-reader.js';
import type { HeardHost } from '../offgrid/restore/host-survey.js';
import { namedNumbers } from '../offgrid/restore/named-numbers.js';
import { corePaths } from '../platform/core-paths.js';
import { CliError } from './errors.js';

/**
 * The hosts named on the command line; by default those of the settings.
 * @param given `url#fingerprint,…`
 * @throws CliError; ConfigError when one is beyond loopback and the key may not be used there
 */
export function hostsOf(given: string | undefined, { offgrid }: Config): readonly HostAddress[] {
  if (given === undefined) return offgrid.hosts;
  const hosts = readGiven(given);
  assertAuthKeyFor(urlsOf(hosts), offgrid);
  return hosts;
}

function urlsOf(hosts: readonly { readonly url: string }[]): readonly string[] {
  return hosts.map(({ url }) => url);
}

function readGiven(given: string): readonly HostAddress[] {
  try {
    return readHosts(given);
  } catch (error) {
    throw new CliError(`--hosts: '${given}' ${error instanceof Error ? error.message : 'is invalid'}`);
  }
}

/** The hosts named on the command line; by default those that this core knows. @throws CliError, ConfigError */
export async function hostsOfCore(given: string | undefined, config: Config): Promise<readonly HostAddress[]> {
  const known = given === undefined ? await knownHosts(corePaths(config.dataDir).outbox) : [];
  if (known.length === 0) return hostsOf(given, config);
  assertAuthKeyFor(urlsOf(known), config.offgrid);
  return known.map(({ url, host }) => ({ url, fingerprint: host, weight: 1 }));
}

/** Prints what was read, and how certain it is. */
export function reportRead(
  read: ReadHistory | AcceptedHistory,
  startedAt: number,
  print: (line: string) => void,
): void {
  const seconds = (performance.now() - startedAt) / 1_000;
  const rate = Math.round(read.length / Math.max(seconds, 0.001));
  print(`${read.length} events read and verified in ${seconds.toFixed(1)} s (${rate}/s)`);
  if (read.holes.length > 0)
    print(`holes         no host has the content of these events any more: ${namedNumbers(read.holes)}`);
  if ('loss' in read) {
    print(`LOSS ACCEPTED ${read.loss}`);
    print(`line          ${read.line} begins with the first policy of the restored core`);
    print('dishonesty    what hosts of any weight have withheld is lost');
    return;
  }
  const { best, quorum, base, length, counted, leftOut, mayLie } = read;
  print(`history       epoch ${best.epoch} of line ${best.line}; ${quorum} events are known to have been at quorum`);
  if (length > base) print(`tail          the last ${length - base} events were never at quorum, and are restored too`);
  print(`counted       ${counted.map(nameOf).join(', ')}`);
  for (const { host, why } of leftOut) print(`left out      ${nameOf(host)}: ${why}`);
  print(`dishonesty    hosts of weight ${mayLie} may have been dishonest without harm`);
}

function nameOf({ url, host }: HeardHost): string {
  return `${url} (${host})`;
}
