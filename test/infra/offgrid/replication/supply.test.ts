import { expect, it } from 'vitest';
import { LyingHost } from '../../../support/offgrid/lying-host.js';
import { ReplicatingCore, wanted, WAIT } from '../../../support/offgrid/replicating-core.js';
import { newHost } from '../../../support/offgrid/host.js';

/** The host is asked for its head after this silence; what waits for that was overlooked. */
const SILENCE_MS = 10_000;

it('an event that comes while the last batch is under way is shipped once that is answered', async () => {
  const host = await newHost();
  const front = await LyingHost.of(host);
  const other = await LyingHost.of(await newHost());
  const core = await ReplicatingCore.start({ hosts: wanted(front, other), required: 2 });
  await core.settles();
  // While the other says nothing, this core is not elected, and nothing is acknowledged: that would be news for who waits.
  await core.stop();
  other.lie = 'stalled';
  const { folder, root } = core;
  const next = await ReplicatingCore.start({ folder, root, hosts: wanted(front, other), required: 2 });
  const staged = () => next.replicator.contactOf(host.identity.id)?.head?.staged?.value.sequence;
  await next.record(1);
  await expect.poll(staged, WAIT).toBe(3);

  let release: () => void = () => undefined;
  front.hold = new Promise((resolve) => (release = resolve));
  await next.record(1);
  await expect.poll(() => front.isHeld, WAIT).toBe(true);
  await next.record(1);
  await next.backlog.catchUp();
  await expect.poll(async () => (await next.known()).head, WAIT).toBe(5);
  front.hold = Promise.resolve();
  release();
  await expect.poll(staged, { timeout: SILENCE_MS / 2, interval: 20 }).toBe(5);
});
