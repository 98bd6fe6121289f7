// The official web SDK, unchanged, in a real Firefox whose push service is the emulator's. The tests are the days of one
// device, in order: each goes on where the one before it ended.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { App } from '../support/app.mjs';
import { Firefox } from '../support/firefox.mjs';
import { Heliostat } from '../support/heliostat.mjs';
import { until } from '../support/wait.mjs';

/** What is to be seen of the app's notifications, as `title: body`. */
const shown = (tab) =>
  tab.call(async () => {
    const registration = await navigator.serviceWorker.ready;
    return (await registration.getNotifications()).map(({ title, body }) => `${title}: ${body}`);
  });

const isShown = (tab, notification) =>
  until(`the notification ${notification}`, async () => (await shown(tab)).includes(notification));

/** Runs an expression of the page, such as `beams.start()`, and returns what it resolves to or how it failed. */
const answer = (tab, fn, ...args) => tab.call(fn, ...args).catch((error) => error.message);

describe('the web SDK in Firefox', () => {
  let heliostat;
  let beams;
  let app;
  let firefox;
  let tab;
  let deviceId;

  before(async () => {
    heliostat = await Heliostat.start();
    beams = heliostat.sdk();
    app = await App.start({ beams, heliostat: heliostat.url });
    firefox = await Firefox.start(heliostat.emulators.browserUrl);
    await firefox.permitNotifications(app.origin);
    tab = await firefox.open(`${app.origin}/`);
  });
  after(async () => {
    await firefox?.stop();
    await app?.stop();
    await heliostat?.stop();
  });

  const reports = (event) => heliostat.metric('heliostat_events_total', { event });
  const logIn = (page, user) => page.call((name) => fetch(`/login?user=${name}`, { method: 'POST' }).then(() => {}), user);
  /** Another browser of a user, at the device API alone: what arrives there tells that a publish has been worked on. */
  const witness = async (user) => {
    const device = await heliostat.registerBrowser();
    const { token } = beams.generateToken(user);
    assert.equal((await heliostat.device('PUT', `/devices/web/${device.id}/user`, { token })).status, 200);
    return device;
  };

  it('registers the device', async () => {
    const before = await tab.call(() => beams.getRegistrationState());
    assert.equal(before, 'PERMISSION_GRANTED_NOT_REGISTERED_WITH_BEAMS');
    deviceId = await tab.call(async () => {
      await beams.start();
      return beams.getDeviceId();
    });
    assert.match(deviceId, /^web-[0-9a-f-]{36}$/);
    assert.equal(await tab.call(() => beams.getRegistrationState()), 'PERMISSION_GRANTED_REGISTERED_WITH_BEAMS');
    assert.equal((await heliostat.device('GET', `/devices/web/${deviceId}`)).status, 200);
  });

  it('stays the same device when the page is opened again', async () => {
    tab = await firefox.open(`${app.origin}/`);
    const again = await tab.call(async () => {
      await beams.start();
      return beams.getDeviceId();
    });
    assert.equal(again, deviceId);
  });

  it('adds, lists, replaces, removes and clears interests', async () => {
    const interests = () => tab.call(async () => (await beams.getDeviceInterests()).interests);
    assert.deepEqual(await interests(), []);
    await tab.call(async () => {
      for (const interest of ['news', 'a=b@c,d;e._-', 'news']) await beams.addDeviceInterest(interest);
    });
    assert.deepEqual(await interests(), ['a=b@c,d;e._-', 'news']);
    await tab.call(() => beams.removeDeviceInterest('a=b@c,d;e._-').then(() => {}));
    assert.deepEqual(await interests(), ['news']);
    await tab.call(() => beams.setDeviceInterests(['zebra', 'panda', 'panda']));
    assert.deepEqual(await interests(), ['panda', 'zebra']);
    await tab.call(() => beams.clearDeviceInterests());
    assert.deepEqual(await interests(), []);
  });

  it('pages through many interests', async () => {
    const names = Array.from({ length: 250 }, (_, n) => `interest-${String(n).padStart(3, '0')}`);
    const pages = await tab.call(async (all) => {
      await beams.setDeviceInterests(all);
      const pages = [];
      for (let cursor = null; ; ) {
        const page = await beams.getDeviceInterests(100, cursor);
        pages.push(page.interests);
        cursor = page.nextCursor;
        if (!cursor) return pages;
      }
    }, names);
    assert.deepEqual(pages.map((page) => page.length), [100, 100, 50]);
    assert.deepEqual(pages.flat(), names);
    await tab.call(() => beams.clearDeviceInterests());
  });

  it('binds the device to nobody without a good token', async () => {
    const setUser = (user) => answer(tab, (name) => beams.setUserId(name, tokenProvider).then(() => {}), user);
    assert.match(await setUser('alice'), /401: Unauthorized, this is not who is logged in/);
    await logIn(tab, 'mallory');
    assert.match(await setUser('alice'), /401: Unauthorized, this is not who is logged in/);
    const forger = heliostat.sdk({ secretKey: 'not the key of this instance, but long enough' });
    const forged = await answer(
      tab,
      (token) => beams.setUserId('alice', { fetchToken: async () => token }).then(() => {}),
      forger.generateToken('alice'),
    );
    assert.match(forged, /Unexpected status code 401: Unauthorized, .+/);
    assert.equal(await tab.call(() => beams.getUserId()), null);
    assert.equal((await heliostat.device('GET', `/devices/web/${deviceId}`)).body.userId, '');
  });

  it('binds the device to the user who is logged in', async () => {
    await logIn(tab, 'alice');
    const setUser = () =>
      tab.call(async () => {
        await beams.setUserId('alice', tokenProvider);
        return beams.getUserId();
      });
    assert.equal(await setUser(), 'alice');
    assert.equal(await setUser(), 'alice', 'the same user again, as each opening of the page does');
    assert.equal((await heliostat.device('GET', `/devices/web/${deviceId}`)).body.userId, 'alice');
  });

  it('shows what is published to the user, and reports that it was delivered', async () => {
    await beams.publishToUsers(['alice'], {
      web: { notification: { title: 'For Alice', body: 'Only you – 🐝', deep_link: `${app.origin}/offers/42` } },
    });
    await isShown(tab, 'For Alice: Only you – 🐝');
    await until('the delivery to be reported', async () => (await reports('delivery')) === 1);
    assert.equal(await reports('open'), 0);
  });

  it('reports that the notification was opened by a click, which opens its link', async () => {
    await firefox.clickNotification('For Alice');
    await until('the open to be reported', async () => (await reports('open')) === 1);
    await until('the link to be open', async () => (await firefox.openPages()).includes(`${app.origin}/offers/42`));
    assert.deepEqual(await shown(tab), []);
  });

  it('shows what is published to an interest of the device', async () => {
    await tab.call(() => beams.addDeviceInterest('weather'));
    await beams.publishToInterests(['weather'], { web: { notification: { title: 'Rain', body: 'Take a coat' } } });
    await isShown(tab, 'Rain: Take a coat');
  });

  it('keeps the users of two browsers apart', async () => {
    const other = await Firefox.start(heliostat.emulators.browserUrl);
    try {
      await other.permitNotifications(app.origin);
      const page = await other.open(`${app.origin}/`);
      await logIn(page, 'bob');
      await page.call(async () => {
        await beams.start();
        await beams.setUserId('bob', tokenProvider);
      });
      await beams.publishToUsers(['alice'], { web: { notification: { title: 'Alice', body: 'only' } } });
      await isShown(tab, 'Alice: only');
      await beams.publishToUsers(['bob'], { web: { notification: { title: 'Bob', body: 'only' } } });
      await isShown(page, 'Bob: only');
      await heliostat.settled();
      assert.deepEqual(await shown(page), ['Bob: only']);
      assert.ok(!(await shown(tab)).includes('Bob: only'));
    } finally {
      await other.stop();
    }
  });

  it('delivers while no page of the app is open', async () => {
    await tab.close();
    await beams.publishToUsers(['alice'], { web: { notification: { title: 'While', body: 'you were away' } } });
    await until('the delivery to be reported', async () => (await reports('delivery')) === 5);
    tab = await firefox.open(`${app.origin}/`);
    await isShown(tab, 'While: you were away');
  });

  it('delivers nothing after stop', async () => {
    const [{ token: endpointBefore }] = (await heliostat.emulators.notifications('web-push')).slice(-1);
    const stopped = await tab.call(async () => {
      await beams.stop();
      return [await beams.getDeviceId(), await beams.getUserId(), await beams.getRegistrationState()];
    });
    assert.deepEqual(stopped, [null, null, 'PERMISSION_GRANTED_NOT_REGISTERED_WITH_BEAMS']);
    assert.equal((await heliostat.device('GET', `/devices/web/${deviceId}`)).status, 404);

    const seenBefore = (await heliostat.emulators.notifications('web-push', endpointBefore)).length;
    assert.ok(seenBefore > 0);
    const elsewhere = await witness('alice');
    const { publishId } = await beams.publishToUsers(['alice'], {
      web: { notification: { title: 'Too late', body: 'nobody is here' } },
    });
    await heliostat.emulators.notification('web-push', elsewhere.at, publishId);
    await heliostat.settled();
    // Not even tried: the push service has seen no further request for this browser.
    assert.equal((await heliostat.emulators.notifications('web-push', endpointBefore)).length, seenBefore);
    assert.ok(!(await shown(tab)).some((notification) => notification.startsWith('Too late')));
    assert.equal(await reports('delivery'), 5);
  });

  it('is a new device of nobody when it starts again', async () => {
    const again = await tab.call(async () => {
      await beams.start();
      return beams.getDeviceId();
    });
    assert.match(again, /^web-/);
    assert.notEqual(again, deviceId);
    assert.equal((await heliostat.device('GET', `/devices/web/${again}`)).body.userId, '');
    deviceId = again;
  });

  it('is only the next user’s once somebody else has logged in', async () => {
    await logIn(tab, 'carol');
    await tab.call(() => beams.setUserId('carol', tokenProvider).then(() => {}));
    const elsewhere = await witness('alice');
    const { publishId } = await beams.publishToUsers(['alice'], { web: { notification: { title: 'Secret of Alice' } } });
    await heliostat.emulators.notification('web-push', elsewhere.at, publishId);
    await beams.publishToUsers(['carol'], { web: { notification: { title: 'For Carol', body: 'only' } } });
    await isShown(tab, 'For Carol: only');
    await heliostat.settled();
    assert.ok(!(await shown(tab)).some((notification) => notification.startsWith('Secret of Alice')));
  });

  it('is forgotten once the browser has ended its subscription', async () => {
    await tab.call(async () => {
      const registration = await navigator.serviceWorker.ready;
      await (await registration.pushManager.getSubscription()).unsubscribe();
    });
    await beams.publishToUsers(['carol'], { web: { notification: { title: 'Is anybody there?' } } });
    await until('the device to be forgotten', async () => {
      return (await heliostat.device('GET', `/devices/web/${deviceId}`)).status === 404;
    });
    assert.equal(await tab.call(() => beams.getDeviceId()), null);
  });
});
