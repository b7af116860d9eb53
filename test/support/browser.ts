import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium, type Page } from 'playwright-core';
import { onTestFinished } from 'vitest';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
/** The longest a browser may take to start, in milliseconds. */
const PATIENCE_MS = 120_000;
/** What a picture of a page has room for, in pixels. */
export const VIEWPORT = { width: 1280, height: 900 };

/** Where Chromium is, if it is installed. */
export function findChromium(): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** A page of a browser, and what it did. */
export interface Visit {
  readonly page: Page;
  /** Requests, of HTTP and WebSocket, to anywhere else than the host; they were refused. */
  readonly elsewhere: string[];
  /** What the page complained of. */
  readonly errors: string[];
  /** What was sent over WebSockets. */
  readonly sent: string[];
}

/** Opens an empty page that reaches one host only. The browser goes with the test. */
export async function openBrowser(executablePath: string, host: string): Promise<Visit> {
  // No sandbox: it needs namespaces, which containers do not have.
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'], timeout: PATIENCE_MS });
  onTestFinished(() => browser.close());
  const context = await browser.newContext({ viewport: VIEWPORT, colorScheme: 'light', locale: 'en-GB' });
  const elsewhere: string[] = [];
  const errors: string[] = [];
  const sent: string[] = [];
  const isAllowed = (address: string) => {
    const url = new URL(address);
    if (url.host === host || url.protocol === 'data:' || url.protocol === 'blob:') return true;
    elsewhere.push(address);
    return false;
  };
  await context.route('**/*', (route) => (isAllowed(route.request().url()) ? route.continue() : route.abort()));
  await context.routeWebSocket(
    (url) => !isAllowed(url.href),
    (socket) => socket.close(),
  );
  const page = await context.newPage();
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text());
  });
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => sent.push(String(payload))));
  return { page, elsewhere, errors, sent };
}
