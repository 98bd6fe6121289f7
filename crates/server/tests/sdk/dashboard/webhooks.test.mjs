// A webhook whose receiver fails, seen, repaired and replayed on the dashboard in a real Chromium.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, it } from 'node:test';

import { Chromium } from '../support/chromium.mjs';
import { Heliostat } from '../support/heliostat.mjs';
import { Receiver } from '../support/receiver.mjs';
import { signIn } from '../support/visitor.mjs';
import { until } from '../support/wait.mjs';

const SECRET = 'a secret that was typed';

describe('webhooks on the dashboard', () => {
  let heliostat;
  let browser;
  let page;
  const receiver = new Receiver();

  before(async () => {
    await receiver.start();
    heliostat = await Heliostat.start();
    browser = await Chromium.start();
    page = await browser.page();
    await signIn(page, heliostat.url, await heliostat.adminToken());
  });
  after(async () => {
    await browser?.stop();
    await heliostat?.stop();
    await receiver.stop();
  });

  const press = (name) => page.getByRole('button', { name }).click();
  const seen = (text) => page.getByText(text).first().waitFor();

  it('are added, seen to fail, and replayed once the receiver works', { timeout: 120_000 }, async () => {
    receiver.answers['/hook'] = 503;
    await page.goto(`${heliostat.url}/i/${heliostat.instanceId}/webhooks`);
    await page.getByLabel('URL of the receiver').fill(`${receiver.url}/hook`);
    await page.getByLabel('Secret').fill(SECRET);
    await press('Add it');
    await page.getByRole('link', { name: 'I have it' }).click();

    await press('Send a test');
    await page.getByRole('heading', { name: 'v1.Test waiting' }).waitFor();
    await seen('status_503');
    const delivery = page.url().split('?')[0];
    await page.getByRole('link', { name: receiver.url }).click();
    await seen('Every request has failed since');

    receiver.answers['/hook'] = 200;
    await page.goto(delivery);
    await press('Send it once more');
    await page.getByRole('heading', { name: 'v1.Test delivered' }).waitFor();
    assert.equal(await page.getByRole('row', { name: 'status_503' }).count(), 1, 'the attempt that failed stays on the page');
    assert.equal(await page.getByRole('row', { name: 'taken' }).count(), 1);

    const both = await until('both requests', () => receiver.requests.length === 2 && receiver.requests);
    const ids = both.map(({ headers }) => headers['webhook-request-id-uuid']);
    assert.deepEqual(ids, [delivery.split('/').pop(), delivery.split('/').pop()]);
    for (const { headers, body } of both) {
      assert.equal(headers['webhook-signature'], createHmac('sha1', SECRET).update(body).digest('hex'));
    }
    assert.deepEqual(browser.complaints, []);
  });
});
