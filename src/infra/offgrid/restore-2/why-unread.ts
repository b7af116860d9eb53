import type { Unread } from '../../../domain/reading.js';
import type { Tree } from '../protocol/tree.js';
import type { HeardHost } from './host-survey.js';

/** The most hosts that a message names. */
const MAX_NAMED = 8;

/** Why nothing was read, and what to do. @param about the tree that the rules ended at */
export function whyUnread(why: Unread, about: Tree | undefined, heard: readonly HeardHost[]): string {
  const named = heard.slice(0, MAX_NAMED).map(shownBy).join('; ');
  switch (why) {
    case 'NOTHING':
      return heard.length === 0
        ? 'No host answers for itself. Start the hosts, or check --hosts.'
        : `None of the hosts that answer has anything of this origin: ${named}. Check --hosts and SHERATAN_ORIGIN.`;
    case 'MISSING':
      return `Not all of the first ${about?.sequence ?? 0} events can be got that the origin has signed, and the hosts that do not have them are too few to show that they were never at quorum. ${named}. Bring more hosts into reach, or take what there is: --accept-loss.`;
    case 'FORK':
      return `Two processes have written in epoch ${about?.epoch ?? 0}, and it cannot be told which of their histories was at quorum: ${named}. Bring more hosts into reach, or choose one: --accept-loss --history <first 8 digits of its root>.`;
    case 'LINE':
      return `The hosts show more than one line: ${named}. In a line that was begun later, or elsewhere, things were acknowledged that this one does not have. Restore from the hosts of the line that is to go on, or choose one: --accept-loss --history <first 8 digits of its root>.`;
    case 'QUORUM':
      return `A tree that the origin has signed shows that more was at quorum than can be had, which is ${about?.sequence ?? 0} events: ${named}. Bring more hosts into reach, or take what there is: --accept-loss.`;
    case 'WEIGHT':
      return `Events that were at quorum may be missing: too few hosts answer for themselves. They are: ${named}. Bring more hosts into reach, or take what there is: --accept-loss.`;
    case 'POLICY':
      return 'The history names no hosts: what was at quorum cannot be known. Take what there is: --accept-loss.';
  }
}

/** What a host shows, in a few words. */
function shownBy({ url, host, isPinned, head: { tree, staged } }: HeardHost): string {
  const shows = [tree && wordsOf(tree.value), staged && `${wordsOf(staged.value)} staged`].filter(
    (text) => text !== null,
  );
  const what = shows.length === 0 ? 'nothing' : shows.join(' and ');
  return `${url} (${host}${isPinned ? '' : ', whose key is not named'}) shows ${what}`;
}

function wordsOf({ sequence, line, epoch, quorum, root }: Tree): string {
  const digits = Buffer.from(root).toString('hex').slice(0, 8);
  return `${sequence} events of epoch ${epoch} in line ${line}, root ${digits}, of which ${quorum} were at quorum`;
}
