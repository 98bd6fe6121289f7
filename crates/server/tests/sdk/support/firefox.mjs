// A headless Firefox with an empty profile whose push service is ours, and what a person does with it.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Bidi } from './bidi.mjs';
import { Child } from './child.mjs';
import { until } from './wait.mjs';

/** Nothing listens there, so whatever is not on loopback fails at once. */
const DEAD_PROXY_PORT = 9;

const ENVIRONMENT = {
  MOZ_HEADLESS: '1',
  MOZ_CRASHREPORTER_DISABLE: '1',
  // Without it a release build does not let the preferences name its settings service.
  MOZ_REMOTE_SETTINGS_DEVTOOLS: '1',
};

const preferences = (pushUrl) => ({
  // The push service: an ordinary one is reached over wss, ours is on loopback.
  'dom.push.enabled': true,
  'dom.push.connection.enabled': true,
  'dom.push.serverURL': pushUrl,
  'dom.push.testing.allowInsecureServerURL': true,
  // Notifications in windows of the browser's own, which can be seen and clicked without a desktop.
  'alerts.useSystemBackend': false,
  // Nothing of the browser's own leaves this machine.
  'network.proxy.type': 1,
  'network.proxy.http': '127.0.0.1',
  'network.proxy.http_port': DEAD_PROXY_PORT,
  'network.proxy.ssl': '127.0.0.1',
  'network.proxy.ssl_port': DEAD_PROXY_PORT,
  'network.proxy.no_proxies_on': 'localhost, 127.0.0.1',
  'network.proxy.socks_remote_dns': true,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'network.dns.disablePrefetch': true,
  'network.prefetch-next': false,
  'network.trr.mode': 5,
  'app.update.enabled': false,
  'app.update.auto': false,
  'app.normandy.enabled': false,
  'browser.safebrowsing.malware.enabled': false,
  'browser.safebrowsing.phishing.enabled': false,
  'browser.safebrowsing.downloads.enabled': false,
  'browser.safebrowsing.update.enabled': false,
  'browser.region.update.enabled': false,
  'browser.search.update': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.page': 0,
  'browser.newtabpage.enabled': false,
  'browser.aboutwelcome.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'datareporting.healthreport.uploadEnabled': false,
  'extensions.update.enabled': false,
  'extensions.getAddons.cache.enabled': false,
  'extensions.systemAddon.update.enabled': false,
  'media.gmp-manager.updateEnabled': false,
  'services.settings.server': 'data:,#remote-settings-dummy/v1',
  'toolkit.telemetry.enabled': false,
  'toolkit.telemetry.unified': false,
  'toolkit.telemetry.server': '',
});

/** A page, and what can be done in it. */
class Tab {
  #bidi;
  #context;

  constructor(bidi, context) {
    this.#bidi = bidi;
    this.#context = context;
  }

  /** Runs a function in the page; its arguments and result are JSON. */
  call(fn, ...args) {
    return this.#bidi.call(this.#context, fn, ...args);
  }

  /** Brings it to the front: pages in the background wait. */
  async activate() {
    await this.#bidi.send('browsingContext.activate', { context: this.#context });
  }

  async close() {
    await this.#bidi.send('browsingContext.close', { context: this.#context });
  }
}

export class Firefox {
  #home;
  #process;
  #bidi;

  /** Starts one whose push service is at `pushUrl` (ws://...). */
  static async start(pushUrl) {
    const firefox = new Firefox();
    try {
      await firefox.#launch(pushUrl);
    } catch (error) {
      await firefox.stop();
      throw new Error(`${error.message}\n${firefox.#process?.output ?? ''}`, { cause: error });
    }
    return firefox;
  }

  async #launch(pushUrl) {
    this.#home = await mkdtemp(join(tmpdir(), 'heliostat-firefox-'));
    const lines = Object.entries(preferences(pushUrl)).map(
      ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`,
    );
    await writeFile(join(this.#home, 'user.js'), lines.join(''));
    this.#process = new Child(
      process.env.FIREFOX ?? 'firefox-esr',
      // Notifications are clicked in the browser's own windows, which is what the system access is for.
      ['--headless', '--no-remote', '--profile', this.#home, '--remote-debugging-port=0', '--remote-allow-system-access'],
      { env: { ...process.env, ...ENVIRONMENT, HOME: this.#home, TMPDIR: this.#home } },
    );
    const port = await until('Firefox to name its port', async () => {
      if (!this.#process.isRunning) throw new Error(`Firefox has ended: ${this.#process.output}`);
      return this.#process.output.match(/WebDriver BiDi listening on ws:\/\/127\.0\.0\.1:(\d+)/)?.[1];
    });
    this.#bidi = await Bidi.connect(`ws://127.0.0.1:${port}/session`);
  }

  /** Says yes to notifications, as a person would when asked. */
  permitNotifications(origin) {
    return this.#bidi.send('permissions.setPermission', {
      descriptor: { name: 'notifications' },
      state: 'granted',
      origin,
    });
  }

  async open(url) {
    const { context } = await this.#bidi.send('browsingContext.create', { type: 'tab' });
    await this.#bidi.send('browsingContext.navigate', { context, url, wait: 'complete' });
    return new Tab(this.#bidi, context);
  }

  /** The addresses that are open in tabs. */
  async openPages() {
    const { contexts } = await this.#bidi.send('browsingContext.getTree', {});
    return contexts.map((context) => context.url);
  }

  /** Clicks the notification on the screen that has this title. */
  async clickNotification(title) {
    const { contexts } = await this.#bidi.send('browsingContext.getTree', { 'moz:scope': 'chrome' });
    await until(`a notification on the screen: ${title}`, () =>
      this.#bidi.call(
        contexts[0].context,
        (wanted) => {
          for (const alert of Services.wm.getEnumerator('alert:alert')) {
            const page = alert.document;
            if (page.getElementById('alertTitleLabel').value !== wanted) continue;
            const click = new alert.MouseEvent('click', { bubbles: true, view: alert });
            page.getElementById('alertBox').dispatchEvent(click);
            return true;
          }
          return false;
        },
        title,
      ),
    );
  }

  /** Ends the browser and removes its profile. */
  async stop() {
    this.#bidi?.close();
    await this.#process?.stop();
    if (this.#home) await rm(this.#home, { recursive: true, force: true, maxRetries: 5 });
  }
}
