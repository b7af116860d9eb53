import { describe, expect, it } from 'vitest';
import { EVENT_BYTES } from '../../../../src/infra/offgrid/host/history-rows.js';
import { History, Process, Reader } from '../by-hand.js';
import type { StartHost } from './conforming-host.js';

const full = { code: 'FULL', status: 507 };

const bytesOf = ({ events }: Pick<History, 'events'>) =>
  events.reduce((sum, { sealed }) => sum + sealed.byteLength + EVENT_BYTES, 0);

/** The cases for the budget. */
export function limitCases(start: StartHost): void {
  describe('the budget of a host', () => {
    it('counts every stored event, including staged and set-aside ones, and is never exceeded', async () => {
      const history = History.begin().on(6, { bytes: 2_000 });
      const other = history.on(3, { at: 3, name: 'b', bytes: 2_000 });
      const budgetBytes = bytesOf(history) + bytesOf({ events: other.events.slice(3) });
      const host = await start({ budgetBytes });
      const first = new Process(history.root);
      await first.claim(host);
      await first.ship(host, history);
      const second = new Process(history.root, 2);
      await second.claim(host);
      await second.ship(host, other, 4, 6, { base: 9 });
      expect(await host.usedBytes()).toBe(budgetBytes);
      await expect(second.ship(host, other.on(1), 7, 7, { base: 9 })).rejects.toMatchObject(full);
      const reader = new Reader(host, history.root);
      const before = await reader.head();
      expect(before).toMatchObject({ tree: { sequence: 6, epoch: 1 }, staged: { sequence: 6, epoch: 2 } });
      // A switch takes no more space: the events that are set aside were counted before.
      await second.ship(host, other, 7, 6, { base: 6 });
      expect(await host.usedBytes()).toBe(budgetBytes);
      await expect(second.ship(host, other.on(1), 7, 7, { base: 6 })).rejects.toMatchObject(full);
      await host.restart({ budgetBytes: budgetBytes + 1_000 });
      expect(await host.usedBytes()).toBe(budgetBytes);
      expect(await second.ship(host, other.on(1), 7, 7, { base: 6 })).toMatchObject({ tree: { sequence: 7 } });
      expect(await new Reader(host, history.root).events('?bytes=4194304')).toEqual(other.on(1).numbered(1, 7));
    });

    it('has space for events that are already stored, and for a batch of no events', async () => {
      const history = History.begin().on(6, { bytes: 2_000 });
      const host = await start({ budgetBytes: bytesOf(history) });
      const process = new Process(history.root);
      await process.claim(host);
      await process.ship(host, history);
      await expect(process.ship(host, history.on(1), 5, 7)).rejects.toMatchObject(full);
      expect(await process.ship(host, history, 1, 6)).toMatchObject({ tree: { sequence: 6, quorum: 0 } });
      expect(await process.ship(host, history, 7, 6, { quorum: 6 })).toMatchObject({
        tree: { sequence: 6, quorum: 6 },
      });
      // Any other error of a batch is reported first.
      const other = history.on(2, { at: 5, name: 'b' });
      await expect(process.ship(host, other, 6, 7)).rejects.toMatchObject({ code: 'FORKED' });
      await expect(process.ship(host, other, 9, 7)).rejects.toMatchObject({ code: 'BAD_REQUEST' });
    });
  });
}
