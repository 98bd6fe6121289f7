// A headless Chromium with an empty profile, for looking at pages. It gets no push: its push service is Google's alone.

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

const SCREENSHOTS = fileURLToPath(new URL('../../../../../target/screenshots/', import.meta.url));
const AXE = createRequire(import.meta.url)('axe-core').source;

/** The widths of a phone and of a desk, in the browser's own pixels. */
export const SCREENS = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 800 } };

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Nothing of the browser's own leaves this machine.
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
];

export class Chromium {
  #profile;
  #context;
  /** What pages complained of: errors of scripts, and whatever the content security policy refused. */
  complaints = [];

  /** `options` are those of a browser context, such as its colour scheme. */
  static async start(options = {}) {
    const browser = new Chromium();
    browser.#profile = await mkdtemp(join(tmpdir(), 'heliostat-chromium-'));
    browser.#context = await chromium.launchPersistentContext(browser.#profile, {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: ARGUMENTS,
      locale: 'en-GB',
      viewport: SCREENS.desk,
      ...options,
    });
    return browser;
  }

  /** A page, whose complaints are kept. */
  async page() {
    const page = await this.#context.newPage();
    page.on('pageerror', (error) => this.complaints.push(`${page.url()}: ${error.message}`));
    page.on('console', (message) => {
      // A refused form answers with a status that the browser notes as an error of the network; pages are read for that.
      if (message.type() === 'error' && !/status of 4\d\d/.test(message.text())) {
        this.complaints.push(`${page.url()}: ${message.text()}`);
      }
    });
    return page;
  }

  async stop() {
    await this.#context?.close();
    if (this.#profile) await rm(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Keeps a picture of a whole page. */
export async function picture(page, name) {
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** Serious and critical findings of axe, as `id: where`. */
export async function findings(page) {
  // Beside the page's own scripts, so that its content security policy stays in force for them.
  const client = await page.context().newCDPSession(page);
  await client.send('Runtime.evaluate', { expression: AXE });
  const { result, exceptionDetails } = await client.send('Runtime.evaluate', {
    expression: 'axe.run().then((found) => JSON.stringify(found.violations))',
    awaitPromise: true,
  });
  await client.detach();
  if (exceptionDetails) throw new Error(`axe: ${exceptionDetails.text} ${exceptionDetails.exception?.description}`);
  return JSON.parse(result.value)
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')}: ${failureSummary}`));
}

/** How many pixels a page is wider than its screen. */
export const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
