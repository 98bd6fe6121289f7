// The official Node server SDK, unchanged, against the heliostat program: what an app's backend does with it.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';

import { Heliostat } from '../support/heliostat.mjs';

const HELLO = {
  apns: { aps: { alert: { title: 'Hello', body: 'from the test' } } },
  fcm: { notification: { title: 'Hello', body: 'from the test' } },
  web: { notification: { title: 'Hello', body: 'from the test' } },
};
const PUBLISH_ID = /^pubid-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('the Node server SDK', () => {
  let heliostat;
  let beams;
  before(async () => {
    heliostat = await Heliostat.start();
    beams = heliostat.sdk();
  });
  after(() => heliostat?.stop());

  const iphone = async () => {
    const token = randomBytes(32).toString('hex');
    const metadata = { sdkVersion: '4.0.0', iosVersion: '18.1.0' };
    const id = await heliostat.register('apns', { token, bundleIdentifier: 'org.example.app', metadata });
    return { platform: 'apns', id, at: token };
  };
  const android = async () => {
    const token = `fcm-${randomUUID()}`;
    const metadata = { sdkVersion: '1.9.2', androidVersion: '15' };
    const id = await heliostat.register('fcm', { token, knownPreviousClientIds: [], metadata });
    return { platform: 'fcm', id, at: token };
  };
  const browser = async () => ({ platform: 'web', ...(await heliostat.registerBrowser()) });

  const bind = async ({ platform, id }, user, sdk = beams) => {
    const { token } = sdk.generateToken(user);
    return heliostat.device('PUT', `/devices/${platform}/${id}/user`, { token });
  };
  const subscribe = ({ platform, id }, interest) =>
    heliostat.device('POST', `/devices/${platform}/${id}/interests/${encodeURIComponent(interest)}`);
  const userOf = async ({ platform, id }) => {
    const { status, body } = await heliostat.device('GET', `/devices/${platform}/${id}`);
    return status === 200 ? body.userId : status;
  };

  it('publishes to a user on all of the user’s devices, and to nobody else', async () => {
    const devices = [await iphone(), await android(), await browser()];
    const stranger = await browser();
    for (const device of devices) assert.equal((await bind(device, 'alice')).status, 200);
    assert.equal((await bind(stranger, 'mallory')).status, 200);

    const { publishId } = await beams.publishToUsers(['alice'], HELLO);
    assert.match(publishId, PUBLISH_ID);
    const [phone, droid, web] = devices;
    const onPhone = await heliostat.emulators.notification('apns', phone.at, publishId);
    assert.equal(onPhone.payload.aps.alert.title, 'Hello');
    assert.equal(onPhone.topic, 'org.example.app');
    const onAndroid = await heliostat.emulators.notification('fcm', droid.at, publishId);
    assert.equal(onAndroid.payload.notification.body, 'from the test');
    const onWeb = await heliostat.emulators.notification('web-push', web.at, publishId);
    assert.equal(onWeb.payload.notification.title, 'Hello');

    await heliostat.settled();
    assert.deepEqual(await heliostat.emulators.notifications('web-push', stranger.at), []);
  });

  it('publishes to interests, once to a device that has several of them', async () => {
    const device = await browser();
    for (const interest of ['news', 'weather,today;=@.', 'sports']) {
      assert.equal((await subscribe(device, interest)).status, 200);
    }
    const { publishId } = await beams.publishToInterests(['news', 'weather,today;=@.', 'news'], HELLO);
    await heliostat.emulators.notification('web-push', device.at, publishId);
    await heliostat.settled();
    assert.equal((await heliostat.emulators.notifications('web-push', device.at)).length, 1);
  });

  it('takes what is published to nobody', async () => {
    assert.match((await beams.publishToUsers(['nobody has this name'], HELLO)).publishId, PUBLISH_ID);
    assert.match((await beams.publishToInterests(['nobody-has-this-interest'], HELLO)).publishId, PUBLISH_ID);
  });

  it('takes the most users and interests that there may be', async () => {
    const users = Array.from({ length: 1000 }, (_, n) => `${n}`.padStart(164, 'u'));
    assert.match((await beams.publishToUsers(users, HELLO)).publishId, PUBLISH_ID);
    const interests = Array.from({ length: 100 }, (_, n) => `interest-${n}`);
    assert.match((await beams.publishToInterests(interests, HELLO)).publishId, PUBLISH_ID);
  });

  it('signs tokens that bind a device to a user', async () => {
    for (const user of ['a', 'x'.repeat(164), 'with / slash + plus & space', 'Zoë 🐝']) {
      const device = await browser();
      assert.equal((await bind(device, user)).status, 200, user);
      assert.equal(await userOf(device), user);
    }
  });

  it('signs no token that binds a device of another instance or with another key', async () => {
    const device = await browser();
    const stranger = heliostat.sdk({ instanceId: randomUUID() });
    assert.equal((await bind(device, 'alice', stranger)).status, 403);
    const forger = heliostat.sdk({ secretKey: randomBytes(32).toString('hex') });
    assert.equal((await bind(device, 'alice', forger)).status, 401);
    assert.equal(await userOf(device), '');
  });

  it('deletes a user with all the user’s devices', async () => {
    const user = 'bob / the builder+friend (?)';
    const devices = [await iphone(), await browser()];
    const other = await browser();
    for (const device of devices) await bind(device, user);
    await bind(other, 'bob');
    assert.equal(await beams.deleteUser(user), undefined);
    for (const device of devices) assert.equal(await userOf(device), 404);
    assert.equal(await userOf(other), 'bob');
    assert.equal(await beams.deleteUser(user), undefined, 'a user who is not there');
  });

  const fails = (promise, message) => assert.rejects(promise, { message });

  it('says that the secret key is wrong', async () => {
    const forger = heliostat.sdk({ secretKey: 'wrong' });
    const message = '401 Unauthorized - Incorrect Secret Key';
    await fails(forger.publishToUsers(['alice'], HELLO), message);
    await fails(forger.publishToInterests(['news'], HELLO), message);
    await fails(forger.deleteUser('alice'), message);
  });

  it('says that there is no such instance', async () => {
    for (const instanceId of [randomUUID(), 'abe1212381f60']) {
      const lost = heliostat.sdk({ instanceId });
      const message = '404 Instance not found - Could not find the instance';
      await fails(lost.publishToUsers(['alice'], HELLO), message);
      await fails(lost.publishToInterests(['news'], HELLO), message);
      await fails(lost.deleteUser('alice'), message);
    }
  });

  it('says what is wrong with a publish', async () => {
    await fails(beams.publishToInterests([''], HELLO), /^422 Bad Request - `interests.*`: .+/);
    await fails(beams.publishToUsers([''], HELLO), /^422 Bad Request - `users.*`: .+/);
    await fails(beams.publishToInterests(['news'], {}), /^422 Bad Request - .+/);
    await fails(beams.publishToInterests(['news'], { web: { notification: 'text' } }), /^422 Bad Request - .+/);
    await fails(beams.publishToUsers(['alice'], { interests: ['news'], ...HELLO }), /^422 Bad Request - .+/);
    const own = { web: { notification: { title: 'x' }, data: { pusher: {} } } };
    await fails(beams.publishToInterests(['news'], own), /^422 Bad Request - .+/);
  });

  it('says that a publish is too large', async () => {
    const large = { web: { notification: { title: 'Hello', body: 'x'.repeat(10 * 1024) } } };
    await fails(beams.publishToInterests(['news'], large), /^400 Bad request - .+/i);
    const larger = { web: { notification: { title: 'Hello', body: 'x'.repeat(200 * 1024) } } };
    await fails(beams.publishToUsers(['alice'], larger), /^400 Bad request - .+/i);
  });
});
