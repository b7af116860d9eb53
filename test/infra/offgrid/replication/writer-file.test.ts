import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { WriterFile } from '../../../../src/infra/offgrid/replication/writer-file.js';
import { newFolder } from '../../../support/offgrid/host.js';

async function fileWith(content?: unknown) {
  const path = join(await newFolder(), 'writer.json');
  if (content !== undefined) await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  return new WriterFile(path);
}

describe('the record of a writer', () => {
  it('is undefined at first, and afterwards the saved one', async () => {
    const file = await fileWith();
    expect(await file.load()).toBeUndefined();
    const record = { logId: 'abc', epoch: 7, stopped: { code: 'BEHIND', message: 'It is old.' } } as const;
    await file.save(record);
    expect(await file.load()).toEqual(record);
  });

  it.each([
    ['its epoch', {}, {}],
    [
      'why it stopped',
      { stopped: { code: 'FORKED', message: 'Two.' } },
      { stopped: { code: 'FORKED', message: 'Two.' } },
    ],
    ['not that it was fenced: a claim stops no writer', { stopped: { code: 'FENCED', message: 'Another.' } }, {}],
  ])('of protocol 1 keeps %s', async (_what, had, has) => {
    const file = await fileWith({ epoch: 9, writer: 'abc:0123456789abcdef', isElected: true, ...had });
    expect(await file.load()).toEqual({ logId: 'abc', epoch: 9, ...has });
  });

  it.each([
    ['nothing', ''],
    ['no JSON', '{"epoch": 1'],
    ['an epoch of 0', { logId: 'abc', epoch: 0 }],
    ['an epoch above 2⁴⁸', { logId: 'abc', epoch: 2 ** 48 + 1 }],
    ['no log', { epoch: 1 }],
    ['what it does not know', { logId: 'abc', epoch: 1, more: true }],
    ['an unknown reason', { logId: 'abc', epoch: 1, stopped: { code: 'TIRED', message: '' } }],
  ])('that has %s is damaged, and the error states what to do', async (_what, content) => {
    await expect((await fileWith(content)).load()).rejects.toThrow('is damaged. Move it away');
  });
});
