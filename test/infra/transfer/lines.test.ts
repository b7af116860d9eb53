import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readLines, type Line } from '../../../src/infra/transfer/lines.js';
import { newDataDir } from '../../support/core.js';
import { collect } from '../../support/events.js';

const MIB = 1024 * 1024;

async function linesOf(content: string | Buffer): Promise<Line[]> {
  const path = join(await newDataDir(), 'file');
  await writeFile(path, content);
  return collect(readLines(path));
}

async function textsOf(content: string | Buffer): Promise<[number, string | undefined][]> {
  return (await linesOf(content)).map((line) => [line.number, line.content?.toString()]);
}

describe('the lines of a file', () => {
  it('are numbered from 1, and blank ones count without being read', async () => {
    expect(await textsOf('a\n\n  \t\nb\n\n')).toEqual([
      [1, 'a'],
      [4, 'b'],
    ]);
  });

  it('may end as on Windows, and the last one need not end', async () => {
    expect(await textsOf('{"a":1}\r\n\r\n{"b":2}')).toEqual([
      [1, '{"a":1}\r'],
      [3, '{"b":2}'],
    ]);
  });

  it('are zero in an empty file, and in one with only blanks or a byte order mark', async () => {
    for (const content of ['', '\n', ' \r\n\t\r\n', '\uFEFF', '\uFEFF\r\n']) expect(await textsOf(content)).toEqual([]);
  });

  it('exclude a byte order mark, at the start of the file only', async () => {
    expect(await textsOf('\uFEFFa\n\uFEFFb\n')).toEqual([
      [1, 'a'],
      [2, '\uFEFFb'],
    ]);
  });

  it('may have 4 MiB; of a longer one only its place is kept, and the next one is read', async () => {
    const lines = await linesOf(`${'x'.repeat(4 * MIB)}\n${'y'.repeat(4 * MIB + 1)}\nz\n${'w'.repeat(5 * MIB)}`);
    expect(lines.map(({ number, content }) => [number, content?.length])).toEqual([
      [1, 4 * MIB],
      [2, undefined],
      [3, 1],
      [4, undefined],
    ]);
  });

  it('have the offset of their end, with any content', async () => {
    const path = join(await newDataDir(), 'file');
    const line = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 10)));
    const isBlank = (content: Buffer) => /^[ \t\r]*$/.test(content.toString('latin1'));
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 20 }), async (contents) => {
        let end = 0;
        const expected = contents.flatMap((content, i) => {
          end += content.length + 1;
          return isBlank(content) ? [] : [{ number: i + 1, content, bytes: content.length, end }];
        });
        const file = Buffer.concat(contents.flatMap((content) => [content, Buffer.from('\n')]));
        fc.pre(!file.subarray(0, 3).equals(Buffer.from([0xef, 0xbb, 0xbf])));
        await writeFile(path, file);
        expect(await collect(readLines(path))).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });

  it('are the same where a block of the file ends within a line', async () => {
    const texts = Array.from({ length: 3_000 }, (_, i) => `${i} ${'é€😀'.repeat(i % 40)}`);
    expect((await textsOf(texts.join('\n'))).map(([, text]) => text)).toEqual(texts);
  });
});
