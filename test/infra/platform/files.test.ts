import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { syncFolder, writeDurably } from '../../../src/infra/platform/files.js';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sheratan-durable-'));
  path = join(folder, 'file');
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

const mode = async () => (await stat(path)).mode & 0o777;

async function withUmask<T>(umask: number, act: () => Promise<T>): Promise<T> {
  const before = process.umask(umask);
  try {
    return await act();
  } finally {
    process.umask(before);
  }
}

describe('a file written durably', () => {
  it('has the written text or bytes, and leaves no temporary file', async () => {
    await writeDurably(path, 'crête\n');
    expect(await readFile(path, 'utf8')).toBe('crête\n');
    await writeDurably(path, Uint8Array.of(0, 255, 10).subarray(1));
    expect([...(await readFile(path))]).toEqual([255, 10]);
    await writeDurably(path, '');
    expect(await readFile(path, 'utf8')).toBe('');
    expect(await readdir(folder)).toEqual(['file']);
  });

  it('replaces a longer one completely', async () => {
    await writeFile(path, 'x'.repeat(100_000));
    await writeDurably(path, 'short');
    expect(await readFile(path, 'utf8')).toBe('short');
  });

  it('is never a mixture of two contents', async () => {
    const contents = ['a', 'b', 'c'].map((letter) => letter.repeat(200_000));
    await writeDurably(path, 'a'.repeat(200_000));
    let writing = true;
    const writes = (async () => {
      for (let round = 0; round < 4; round += 1) for (const content of contents) await writeDurably(path, content);
      writing = false;
    })();
    let seen = 0;
    while (writing) {
      expect(contents.includes(await readFile(path, 'utf8'))).toBe(true);
      seen += 1;
    }
    await writes;
    expect(seen).toBeGreaterThan(0);
  });

  it('has one of the contents when many are written concurrently', async () => {
    const contents = Array.from({ length: 10 }, (_, i) => `${i}`.repeat(10_000));
    await Promise.all(contents.map((content) => writeDurably(path, content)));
    expect(contents).toContain(await readFile(path, 'utf8'));
    expect(await readdir(folder)).toEqual(['file']);
  });

  it('has the permissions of any new file, or the given ones', async () => {
    await withUmask(0o027, () => writeDurably(path, ''));
    expect(await mode()).toBe(0o640);
    await withUmask(0, () => writeDurably(path, '', { mode: 0o600 }));
    expect(await mode()).toBe(0o600);
  });

  it('replaces a link, and does not change the target of the link', async () => {
    const other = join(folder, 'other');
    await writeFile(other, 'other');
    await symlink(other, path);
    await writeDurably(path, 'new');
    expect([await readFile(other, 'utf8'), await readFile(path, 'utf8')]).toEqual(['other', 'new']);
  });

  it('leaves nothing behind when it cannot be written', async () => {
    await mkdir(path);
    await expect(writeDurably(path, 'x')).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(writeDurably(join(folder, 'missing', 'file'), 'x')).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await readdir(folder)).toEqual(['file']);
    expect(await readdir(path)).toEqual([]);
  });
});

describe('a file written durably with exclusive', () => {
  const exclusive = { exclusive: true, mode: 0o600 };

  it('is written when it does not exist', async () => {
    await withUmask(0, () => writeDurably(path, 'x', exclusive));
    expect([await readFile(path, 'utf8'), await mode()]).toEqual(['x', 0o600]);
    expect(await readdir(folder)).toEqual(['file']);
    expect((await stat(path)).nlink).toBe(1);
  });

  it('does not change an existing file', async () => {
    await writeFile(path, 'first');
    await expect(writeDurably(path, 'second', exclusive)).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await readFile(path, 'utf8')).toBe('first');
    expect(await readdir(folder)).toEqual(['file']);
  });

  it('is that of one writer when many write concurrently, and the others fail', async () => {
    const writes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) => writeDurably(path, `${i}`, exclusive)),
    );
    const winners = writes.flatMap(({ status }, i) => (status === 'fulfilled' ? [`${i}`] : []));
    expect(winners).toEqual([await readFile(path, 'utf8')]);
    const codes = writes.flatMap((write) => (write.status === 'rejected' ? [write.reason.code] : []));
    expect(codes).toEqual(Array.from({ length: 9 }, () => 'EEXIST'));
    expect(await readdir(folder)).toEqual(['file']);
  });
});

describe('making a folder durable', () => {
  it('fails when it does not exist', async () => {
    await syncFolder(folder);
    await expect(syncFolder(join(folder, 'missing'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
