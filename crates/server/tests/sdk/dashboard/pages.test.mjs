// The dashboard in a real Chromium: every page in light and dark, on a phone and a desk, full and empty.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { Chromium, SCREENS, findings, overflow, picture } from '../support/chromium.mjs';
import { Heliostat } from '../support/heliostat.mjs';
import { Receiver } from '../support/receiver.mjs';
import { signIn } from '../support/visitor.mjs';
import { until } from '../support/wait.mjs';

/** Users whose ids are long, from right to left, or look like markup. */
const USERS = ['alice', 'مستخدم-٤٢', '<b onclick=alert(1)>bold</b>', `somebody-${'very-'.repeat(25)}long`];

describe('the dashboard in Chromium', () => {
  let heliostat;
  let token;
  let browser;
  let page;
  let base;
  let publishId;
  let deviceId;
  let webhookId;
  let deliveryId;
  const receiver = new Receiver();

  before(async () => {
    heliostat = await Heliostat.start();
    token = await heliostat.adminToken();
    const beams = heliostat.sdk();
    for (const user of USERS) {
      const device = await heliostat.registerBrowser();
      deviceId ??= device.id;
      await heliostat.device('PUT', `/devices/web/${device.id}/user`, { token: beams.generateToken(user).token });
      await heliostat.device('POST', `/devices/web/${device.id}/interests/${'an-interest-'.repeat(8)}`);
    }
    // A phone whose token the emulator declares dead.
    await heliostat.register('fcm', { token: 'dead' });
    ({ publishId } = await beams.publishToUsers(USERS, { web: { notification: { title: 'One' } }, fcm: { notification: { title: 'One' } } }));
    await heliostat.settled();
    for (const kind of ['delivery', 'open']) await heliostat.report(kind, publishId, deviceId);
    await receiver.start();
    const webhook = async (...words) =>
      JSON.parse(await heliostat.command('webhook', words[0], '--instance', heliostat.instanceId, ...words.slice(1), '--json'));
    ({ id: webhookId } = await webhook('add', '--url', `${receiver.url}/${'a-long-path/'.repeat(9)}`));
    ({ id: deliveryId } = await webhook('test', webhookId));
    browser = await Chromium.start();
    page = await browser.page();
    await signIn(page, heliostat.url, token);
    base = `${heliostat.url}/i/${heliostat.instanceId}`;
  });
  after(async () => {
    await browser?.stop();
    await heliostat?.stop();
    await receiver.stop();
  });

  const pages = () => ({
    instances: `${heliostat.url}/`,
    overview: base,
    start: `${base}/start`,
    compose: `${base}/compose?user=alice`,
    publishes: `${base}/publishes`,
    'publishes-none': `${base}/publishes?status=scheduled`,
    'publishes-found': `${base}/publishes?user=alice&since=2026-01-01`,
    'publishes-not-found': `${base}/publishes?interest=nobodys&status=finished`,
    publish: `${base}/publishes/${publishId}`,
    'publish-delivered': `${base}/publishes/${publishId}/events?kind=delivery`,
    'publishes-counted': `${base}/publishes?counting=accepted&platform=web`,
    'publishes-of-a-time': `${base}/publishes?from=2026-01-01T00:00:00Z`,
    insights: `${base}/insights`,
    'insights-by-hour': `${base}/insights?by=hour`,
    people: `${base}/people`,
    'people-none': `${base}/people?search=nobody`,
    user: `${base}/people?user=${encodeURIComponent(USERS[3])}`,
    'user-rtl': `${base}/people?user=${encodeURIComponent(USERS[1])}`,
    device: `${base}/people?device=${deviceId}`,
    devices: `${base}/people?devices=all`,
    'devices-active': `${base}/people?devices=all&platform=web&active=30d`,
    console: `${base}/console`,
    settings: `${base}/settings`,
    webhooks: `${base}/webhooks`,
    webhook: `${base}/webhooks/${webhookId}`,
    'webhook-delivery': `${base}/webhooks/${webhookId}/deliveries/${deliveryId}`,
    docs: `${heliostat.url}/docs`,
    'not-found': `${base}/publishes/none`,
    try: `${heliostat.url}/try?instance=${heliostat.instanceId}`,
  });

  for (const colorScheme of ['light', 'dark']) {
    it(`has no serious finding of axe in ${colorScheme}, and fits a phone and a desk`, { timeout: 180_000 }, async () => {
      await page.emulateMedia({ colorScheme });
      const bad = [];
      for (const [name, url] of Object.entries(pages())) {
        for (const [screen, size] of Object.entries(SCREENS)) {
          await page.setViewportSize(size);
          await page.goto(url);
          if ((await overflow(page)) > 0) bad.push(`${name} is too wide for a ${screen}`);
          bad.push(...(await findings(page)).map((finding) => `${name}, ${screen}: ${finding}`));
          await picture(page, `${name}-${screen}-${colorScheme}`);
        }
      }
      assert.deepEqual(bad, []);
      assert.deepEqual(browser.complaints, []);
    });
  }

  it('would be told by axe if something were wrong', async () => {
    await page.goto(base);
    await page.evaluate(() => document.querySelector('main').append(document.createElement('button')));
    assert.match((await findings(page)).join(), /button-name/);
  });

  it('shows an empty instance kindly', async () => {
    await page.emulateMedia({ colorScheme: 'light' });
    const empty = await heliostat.emptyInstance('عيّنة <i>empty</i> with quite a long name of its own, as people have');
    for (const path of ['', '/start', '/publishes', '/insights', '/people', '/console', '/settings', '/webhooks']) {
      for (const [screen, size] of Object.entries(SCREENS)) {
        await page.setViewportSize(size);
        await page.goto(`${heliostat.url}/i/${empty}${path}`);
        assert.ok((await overflow(page)) <= 0, `${path} on a ${screen}`);
        assert.deepEqual(await findings(page), []);
        await picture(page, `empty${path.replace('/', '-')}-${screen}`);
      }
    }
    await page.setViewportSize(SCREENS.desk);
  });

  it('can be used with the keyboard alone', async () => {
    await page.goto(base);
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'To the content');
    await page.keyboard.press('Enter');
    assert.equal(new URL(page.url()).hash, '#main');
    await page.goto(`${base}/compose`);
    await page.getByLabel('Which', { exact: true }).focus();
    await page.keyboard.type('alice');
    await page.keyboard.press('Tab');
    await page.keyboard.type('By keyboard');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'It would reach 1 device' }).waitFor();
    // The result takes the focus, so that it is read out and its button is the next thing.
    assert.match(await page.evaluate(() => document.activeElement.textContent), /It would reach 1/);
  });

  it('reads the same without scripts', async () => {
    const plain = await Chromium.start({ javaScriptEnabled: false });
    try {
      const reader = await plain.page();
      await signIn(reader, heliostat.url, token);
      for (const [name, url] of Object.entries(pages())) {
        await reader.goto(url);
        assert.equal(await reader.locator('h1').count(), 1, name);
      }
      await reader.goto(`${base}/people`);
      await reader.getByLabel(/beginning of a user/).fill('ali');
      await reader.getByRole('button', { name: 'Search' }).click();
      assert.equal(await reader.getByRole('link', { name: 'alice' }).count(), 1);
      await reader.goto(base);
      await reader.getByText('The numbers').first().click();
      assert.ok(await reader.getByRole('cell').first().isVisible());
    } finally {
      await plain.stop();
    }
  });

  it('composes with a preview, counts, and sends', async () => {
    await page.goto(`${base}/compose`);
    await page.getByLabel('Which', { exact: true }).fill(USERS[1]);
    await page.getByLabel('Title', { exact: true }).fill('مرحبا <b>you</b>');
    await page.getByLabel('Text', { exact: true }).fill('A text');
    const shown = page.locator('[data-shows="title"]');
    assert.deepEqual(await shown.allTextContents(), Array(3).fill('مرحبا <b>you</b>'));
    await page.getByLabel('Android', { exact: true }).uncheck();
    await picture(page, 'composing-desk');
    await page.getByRole('button', { name: 'Check' }).click();
    await page.getByRole('heading', { name: 'It would reach 1 device' }).waitFor();
    await picture(page, 'composed-desk');
    await page.getByRole('button', { name: 'Send it now' }).click();
    await page.getByText('Accepted. It is on its way.').waitFor();
    const id = new URL(page.url()).pathname.split('/').pop();
    await heliostat.settled();
    await page.reload();
    assert.equal(await page.getByRole('row', { name: new RegExp(USERS[1]) }).getByText('accepted').count(), 1);
    const seen = await heliostat.emulators.notifications('web-push');
    assert.equal(seen.filter(({ payload }) => JSON.stringify(payload ?? '').includes(id)).length, 1);
  });

  it('shows in the console what happens, as it happens, and comes back after a cut', async () => {
    await page.goto(`${base}/console`);
    await page.getByText('New lines appear on top').waitFor();
    const lines = page.locator('.live-list li');
    const beams = heliostat.sdk();
    // Nothing is told before it is known that somebody watches, and a line takes its time to the page.
    const made = [];
    const device = await until('a registration in the console', async () => {
      made.push(await heliostat.registerBrowser());
      const shown = (await lines.allTextContents()).join();
      return made.find(({ id }) => shown.includes(id));
    });
    await heliostat.device('PUT', `/devices/web/${device.id}/user`, { token: beams.generateToken('live').token });
    await lines.filter({ hasText: device.id }).filter({ hasText: 'bound to a user' }).waitFor();
    const { publishId: live } = await beams.publishToUsers(['live'], { web: { notification: { title: 'Not to be seen' } } });
    await lines.filter({ hasText: live }).filter({ hasText: 'Gateway took it' }).waitFor();
    await heliostat.report('open', live, device.id);
    await lines.filter({ hasText: live }).filter({ hasText: 'Opened' }).waitFor();
    await picture(page, 'console-live-desk');
    assert.ok(!(await page.content()).includes('Not to be seen'));

    await heliostat.restart();
    const { publishId: after } = await beams.publishToUsers(['live'], { web: { notification: { title: 'Again' } } });
    await lines.filter({ hasText: after }).filter({ hasText: 'Gateway took it' }).waitFor({ timeout: 60_000 });
    assert.equal(await lines.filter({ hasText: live }).filter({ hasText: 'Opened' }).count(), 1, 'each line once');
  });

  it('finds publishes by interest, by user, by day, and by title once payloads may be shown', async () => {
    const name = 'an-interest-'.repeat(8);
    const { publishId: found } = await heliostat.sdk().publishToInterests([name, 'b', 'c', 'd'], { web: { notification: { title: 'Sails & <b>wind</b>' } } });
    const ids = () => page.locator('td.id').allTextContents();
    const search = async (label, value) => {
      await page.goto(`${base}/publishes`);
      await page.getByLabel(label, { exact: true }).fill(value);
      await page.getByRole('button', { name: 'Search' }).click();
    };
    await search('Interest', name);
    assert.deepEqual(await ids(), [found]);
    assert.equal(await page.getByLabel('Interest', { exact: true }).inputValue(), name);
    await search('User', USERS[3]);
    assert.deepEqual(await ids(), [publishId]);
    await search('to (UTC)', '2026-01-01');
    assert.deepEqual(await ids(), []);
    assert.equal(await page.getByLabel('In the title').count(), 0);

    await page.getByRole('link', { name: 'debug console', exact: true }).click();
    await page.getByText('Show payloads of publishes').click();
    await page.getByRole('button', { name: /Show them/ }).click();
    await page.getByText('Payloads are shown from now on.').waitFor();
    await search('In the title', 'WIND');
    assert.deepEqual(await ids(), [`Sails & <b>wind</b>${found}`]);
    for (const [screen, size] of Object.entries(SCREENS)) {
      await page.setViewportSize(size);
      await picture(page, `publishes-titled-${screen}`);
      assert.ok((await overflow(page)) <= 0, screen);
      assert.deepEqual(await findings(page), []);
    }
    await page.getByRole('link', { name: /Sails/ }).click();
    await page.waitForURL(`${base}/publishes/${found}`);
  });

  it('shows by itself how a publish ends', async () => {
    const response = await fetch(`${heliostat.url}/publish_api/v1/instances/${heliostat.instanceId}/publishes/users`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${heliostat.secretKey}` },
      body: JSON.stringify({ users: ['alice'], sendAt: new Date(Date.now() + 4000).toISOString(), web: { notification: { title: 'Soon' } } }),
    });
    const { publishId: soon } = await response.json();
    await page.goto(`${base}/publishes/${soon}`);
    await page.locator('h1 .badge', { hasText: 'scheduled' }).waitFor();
    await page.evaluate(() => { window.sameAsBefore = true; });
    await page.locator('h1 .badge', { hasText: 'finished' }).waitFor({ timeout: 60_000 });
    assert.equal(await page.evaluate(() => window.sameAsBefore), true, 'without going anywhere');
    await page.getByRole('row', { name: /alice/ }).getByText('accepted').waitFor();
    assert.equal(await page.locator('[data-live]').count(), 0, 'it is over');
  });

  it('signs another browser in by a link', async () => {
    const { url } = JSON.parse(await heliostat.command('admin-token', 'link', '--name', 'another', '--json'));
    const other = await Chromium.start();
    try {
      const visitor = await other.page();
      const link = `${heliostat.url}${new URL(url).pathname}${new URL(url).search}`;
      for (const [screen, size] of Object.entries(SCREENS)) {
        await visitor.setViewportSize(size);
        await visitor.goto(link);
        await picture(visitor, `sign-in-link-${screen}`);
        assert.deepEqual(await findings(visitor), []);
      }
      // With the keyboard alone: the button has the focus.
      await visitor.keyboard.press('Enter');
      await visitor.getByRole('heading', { name: 'Instances' }).waitFor();
      await visitor.goto(base);
      await visitor.getByRole('heading', { name: 'SDKs' }).waitFor();
    } finally {
      await other.stop();
    }
  });

  it('keeps the theme that was chosen', async () => {
    await page.goto(base);
    await page.getByRole('button', { name: 'Use the dark theme' }).click();
    assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), 'dark');
    assert.equal(page.url(), base);
    await page.getByRole('button', { name: 'Use the light theme' }).click();
    assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), 'light');
    await page.getByRole('button', { name: 'Use the system’s theme' }).click();
  });

  it('signs out', async () => {
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL(`${heliostat.url}/sign-in`);
    await picture(page, 'sign-in-desk');
    await page.setViewportSize(SCREENS.phone);
    await picture(page, 'sign-in-phone');
    assert.deepEqual(await findings(page), []);
    await page.goto(base);
    assert.match(page.url(), /\/sign-in\?next=/);
  });
});
