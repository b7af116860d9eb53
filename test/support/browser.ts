import { chromium, type Page } from 'playwright-core';
import { onTestFinished } from 'vitest';
import { pathOf } from './machine.js';

/** The longest a browser may take to start, in milliseconds. */
const PATIENCE_MS = 120_000;
/** The size of a page and of a picture of it, in pixels. */
export const VIEWPORT = { width: 1280, height: 900 };

/** A page of a browser, and a record of its activity. */
export interface Visit {
  readonly page: Page;
  /** Requests, HTTP and WebSocket, to an address other than the host's; they were refused. */
  readonly elsewhere: string[];
  /** Errors and warnings of the page's console, and uncaught errors. */
  readonly errors: string[];
  /** Frames that the page sent over WebSockets. */
  readonly sent: string[];
}

/** Opens an empty page that can reach only one host. The browser is closed when the test ends. */
export async function openBrowser(host: string): Promise<Visit> {
  const executablePath = pathOf('Chromium');
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
