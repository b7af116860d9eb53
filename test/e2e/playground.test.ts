import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { openBrowser, VIEWPORT } from '../support/browser.js';
import { newDataDir, Sheratan } from '../support/core.js';

/** Where the picture of the README is, and the variable that has it made again. */
const PICTURES = 'docs/pictures';
const MAKES_PICTURE = process.env['UPDATE_PICTURES'] === '1';
const PNG_SIGNATURE = '89504e470d0a1a0a';
/** The longest to wait for something to appear, in milliseconds. */
const PATIENCE_MS = 60_000;

async function pictureFolder(): Promise<string> {
  if (MAKES_PICTURE) {
    await mkdir(PICTURES, { recursive: true });
    return PICTURES;
  }
  const folder = await mkdtemp(join(tmpdir(), 'sheratan-pictures-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

async function createMission(core: Sheratan, title: string): Promise<void> {
  const { createMission } = await core.gql(
    'mutation ($title: String!) { createMission(input: { title: $title }) { __typename } }',
    { title },
  );
  expect(createMission.__typename).toBe('CreateMissionPayload');
}

describe('the playground', () => {
  it('consists only of files of this node', async () => {
    const core = await Sheratan.serve(await newDataDir());
    const response = await fetch(core.url);
    expect(response.url).toBe(`${core.url}/playground/`);
    const html = await response.text();
    const files = [...html.matchAll(/<(?:script|link)[^>]* (?:src|href)="([^"]+)"/g)].map(([, path]) => path ?? '');
    expect(files.length).toBeGreaterThan(1);
    for (const file of files) {
      const { host } = new URL(file, response.url);
      expect(`http://${host}`, file).toBe(core.url);
      expect((await fetch(new URL(file, response.url))).status, file).toBe(200);
    }
    const policy = response.headers.get('content-security-policy');
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toMatch(/https?:|\*/);
  });

  it(
    'shows missions, and live what others change, without a request to anywhere else',
    async () => {
      const core = await Sheratan.serve(await newDataDir());
      await createMission(core, 'Chart the old harbour');
      const { page, elsewhere, errors, sent } = await openBrowser(new URL(core.url).host);
      page.setDefaultTimeout(PATIENCE_MS);
      const result = page.locator('app-query-result');

      await page.goto(core.url);
      await page.getByText('(Send query Missions)').click();
      await result.getByText('"Chart the old harbour"').waitFor();

      await page.getByText('(Send subscription Live)').click();
      await vi.waitFor(() => expect(sent.join()).toContain('"type":"subscribe"'), { timeout: PATIENCE_MS });
      // A subscription that was sent may not have arrived yet: the first change is repeated until it is seen.
      await vi.waitFor(
        async () => {
          await createMission(core, 'Map the northern ridge');
          await result.getByText('"Map the northern ridge"').first().waitFor({ timeout: 2_000 });
        },
        { timeout: PATIENCE_MS },
      );
      for (const title of ['Count the herons at the delta', 'Inspect the sea wall']) {
        await createMission(core, title);
        await result.getByText(`"${title}"`).waitFor();
      }

      // The message "Reloaded doc" disappears automatically.
      await page.locator('.toast-close-button').waitFor({ state: 'detached' });
      const path = join(await pictureFolder(), 'playground.png');
      await page.screenshot({ path });
      const picture = await readFile(path);
      expect(picture.toString('hex', 0, 8)).toBe(PNG_SIGNATURE);
      expect({ width: picture.readUInt32BE(16), height: picture.readUInt32BE(20) }).toEqual(VIEWPORT);
      // An empty page of this size takes less than 10 KiB.
      expect(picture.length).toBeGreaterThan(30 * 1024);

      expect(elsewhere).toEqual([]);
      expect(errors).toEqual([]);
    },
    4 * PATIENCE_MS,
  );
});
