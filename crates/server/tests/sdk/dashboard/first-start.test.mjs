// The first start in a real Firefox: from an empty server, and nothing but what it prints, to a notification that was opened, by
// clicking alone.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { Firefox } from '../support/firefox.mjs';
import { Heliostat } from '../support/heliostat.mjs';
import { until } from '../support/wait.mjs';

describe('the first start in Firefox', () => {
  let heliostat;
  let firefox;
  let start;
  let tab;

  before(async () => {
    heliostat = await Heliostat.startEmpty();
    firefox = await Firefox.start(heliostat.emulators.browserUrl);
    await firefox.permitNotifications(heliostat.url);
  });
  after(async () => {
    await firefox?.stop();
    await heliostat?.stop();
  });

  const has = (page, selector) => until(selector, () => page.call((wanted) => Boolean(document.querySelector(wanted)), selector));
  const click = (page, selector) => page.call((wanted) => document.querySelector(wanted).click(), selector);
  const says = (page, selector) => page.call((wanted) => document.querySelector(wanted)?.textContent ?? '', selector);

  it('signs in by the link that the server printed, and makes an instance', async () => {
    const link = await heliostat.signInLink();
    assert.ok(link.startsWith(`${heliostat.url}/`));
    // What looks at links, as messengers do, leaves it good.
    assert.equal((await fetch(link)).status, 200);
    tab = await firefox.open(link);
    await has(tab, 'input[name="link"]');
    await click(tab, 'main form button');
    await has(tab, '#name');
    const stranger = await (await fetch(link)).text();
    assert.match(stranger, /This link counts no more/);
    await tab.call(() => {
      document.querySelector('#name').value = 'My first app';
      document.querySelector('form[action="/instances"]').requestSubmit();
    });
    await until('the new instance', async () => (await says(tab, 'h1')) === 'My first app');
    assert.match(await says(tab, '.facts dd:nth-of-type(2) code'), /^[0-9A-F]{64}$/, 'the secret key, this once');
    await click(tab, 'main .button');
    await has(tab, '[data-firsts]');
    assert.equal(await tab.call(() => document.querySelectorAll('.ticks .done').length), 0);
    start = tab;
  });

  it('makes this browser a device of a user', async () => {
    const url = await start.call(() => document.querySelector('a[href^="/try"]').href);
    tab = await firefox.open(url);
    await tab.call(() => document.querySelector('[data-act="register"] button').click());
    await has(tab, '[data-step="bound"].done');
    assert.equal(await says(tab, '[data-says="bound"]'), 'alice');
    assert.match(await says(tab, '[data-says="registered"]'), /^web-/);
    assert.equal(await says(tab, '[data-trouble]'), '');
  });

  it('receives a notification, and says so', async () => {
    await click(tab, '[data-act="send"] button');
    await has(tab, '[data-step="received"].done');
    assert.match(await says(tab, '[data-arrived] li'), /Hello from Heliostat/);
    const shown = await tab.call(async () => {
      const worker = await navigator.serviceWorker.getRegistration('/try');
      return (await worker.getNotifications()).map(({ title, body }) => `${title}: ${body}`);
    });
    assert.deepEqual(shown, ['Hello from Heliostat: The beam is on its target.']);
  });

  it('ticks the list on the other page by itself', async () => {
    await firefox.clickNotification('Hello from Heliostat');
    await has(tab, '[data-step="opened"].done');
    await start.activate();
    for (const first of ['registered', 'bound', 'published', 'delivered', 'opened']) {
      await has(start, `[data-first="${first}"].done`);
    }
  });

  it('is the same device when the page is opened again, and none after it was stopped', async () => {
    const device = await says(tab, '[data-says="registered"]');
    const url = await tab.call(() => location.href);
    await tab.close();
    tab = await firefox.open(url);
    await until('the device again', async () => (await says(tab, '[data-says="registered"]')) === device);
    await click(tab, '[data-act="stop"]');
    await until('no device', async () => (await says(tab, '[data-says="registered"]')) === 'not yet');
    const [, instance] = url.split('instance=');
    const path = `/device_api/v1/instances/${instance}/devices/web/${device}`;
    assert.equal((await fetch(`${heliostat.url}${path}`)).status, 404);
  });

  it('becomes another user’s device', async () => {
    await tab.call(() => {
      document.querySelector('#user').value = 'بوب <b>';
      document.querySelector('[data-act="register"] button').click();
    });
    await until('the other user', async () => (await says(tab, '[data-says="bound"]')) === 'بوب <b>');
    await click(tab, '[data-act="send"] button');
    await has(tab, '[data-step="received"].done');
  });
});
