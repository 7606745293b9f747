// A browser and the mock server for the tests of one file: `npm run build && npm run e2e`.
// CHROMIUM names another browser binary.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { after, before } from 'node:test';

import { chromium } from 'playwright-core';

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required'];

let server, base, browser;

before(async () => {
  server = spawn(process.execPath, [join(import.meta.dirname, 'mock-server.mjs'), '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  base = await new Promise((done) => server.stdout.on('data', (text) => done(/http:\/\/[\d.:]+/.exec(String(text))[0])));
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGS });
});

after(async () => {
  await browser?.close();
  server?.kill();
});

export async function open(path, prepare) {
  const context = await browser.newContext({ baseURL: base, viewport: { width: 1280, height: 800 }, locale: 'en-GB' });
  const page = await context.newPage();
  if (prepare !== undefined) await page.addInitScript(prepare);
  const refused = [];
  page.on('console', (message) => { if (/Content Security Policy/.test(message.text())) refused.push(message.text()); });
  page.on('pageerror', (error) => refused.push(error.message));
  await page.goto(path);
  return { page, refused };
}

export const state = (page, value) => page.waitForSelector(`#player[data-state="${value}"]`, { timeout: 30_000 });
export const mock = (path) => fetch(`${base}/mock/${path}`, { method: 'POST' });
export const tell = (field, value) => mock(`tell/${field}/${encodeURIComponent(JSON.stringify(value))}`);
/** What screen readers take no notice of: nothing live stands around it or in it. */
export const silent = (page, selector) => page.$eval(selector, (node) => {
  const live = '[role="log"], [role="status"], [role="alert"], [aria-live]:not([aria-live="off"])';
  return node.closest(live) === null && node.querySelector(live) === null;
});
