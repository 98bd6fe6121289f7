// Webhooks as an app's backend takes them: Beams' signature checked as Beams' documentation does it, the Standard Webhooks
// signature with that specification's own library, each over the real program.

import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';

import { Webhook } from 'standardwebhooks';

import { Heliostat } from '../support/heliostat.mjs';
import { Receiver } from '../support/receiver.mjs';
import { until } from '../support/wait.mjs';

const BEAMS_SECRET = 'a secret of this test';
const STANDARD_SECRET = `whsec_${Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')}`;

const isOf = (type) => (body) => body.metadata.event_type === type;

describe('webhooks', () => {
  let heliostat;
  const receiver = new Receiver();
  before(async () => {
    await receiver.start();
    heliostat = await Heliostat.start();
  });
  after(async () => {
    await heliostat?.stop();
    await receiver.stop();
  });

  const webhook = async (...words) => JSON.parse(await heliostat.command('webhook', ...words, '--json'));
  const add = (path, ...more) =>
    webhook('add', '--instance', heliostat.instanceId, '--url', `${receiver.url}${path}`, ...more);
  const phone = async (user) => {
    const id = await heliostat.register('fcm', { token: `fcm-${randomUUID()}`, metadata: { sdkVersion: '1.9.2' } });
    const { token } = heliostat.sdk().generateToken(user);
    assert.equal((await heliostat.device('PUT', `/devices/fcm/${id}/user`, { token })).status, 200);
    return id;
  };

  it('tell of publishes, acknowledgements and opens with Beams’ signature', async () => {
    const { id } = await add('/beams', '--secret', BEAMS_SECRET, '--custom-data', '{"app":"shop"}');
    const device = await phone('alice');
    const { publishId } = await heliostat.sdk().publishToUsers(['alice', 'nobody'], { fcm: { data: { n: '1' } } });
    const attempt = await receiver.next('/beams', isOf('v1.PublishToUsersAttempt'));
    assert.deepEqual(JSON.parse(attempt.body).payload, {
      instance_id: heliostat.instanceId,
      publish_id: publishId,
      users_delivered_to_gateway: ['alice'],
      users_no_devices: ['nobody'],
      users_gateway_failed: [],
    });
    for (const [event, type] of [
      ['Delivery', 'v1.UserNotificationAcknowledgement'],
      ['Open', 'v1.UserNotificationOpen'],
    ]) {
      const report = { event, publishId, deviceId: device, timestampSecs: 1_700_000_000, userId: 'alice' };
      const answer = await fetch(`${heliostat.url}/reporting_api/v2/instances/${heliostat.instanceId}/events`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(report),
      });
      assert.equal(answer.status, 200);
      const told = await receiver.next('/beams', isOf(type));
      assert.deepEqual(JSON.parse(told.body).payload, {
        instance_id: heliostat.instanceId,
        publish_id: publishId,
        user_id: 'alice',
      });
    }
    for (const { headers, body } of receiver.requests) {
      const signature = createHmac('sha1', BEAMS_SECRET).update(body).digest('hex');
      assert.equal(headers['webhook-signature'], signature);
      assert.equal(headers['user-agent'], 'pusher-webhooks');
      assert.equal(headers['content-type'], 'application/json');
      assert.equal(headers['webhook-id-uuid'], id);
      const { metadata, custom_data } = JSON.parse(body);
      assert.equal(headers['webhook-event-type'], metadata.event_type);
      assert.match(metadata.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000$/);
      assert.equal(metadata.product, 'beams');
      assert.deepEqual(custom_data, { app: 'shop' });
    }
    await webhook('remove', '--instance', heliostat.instanceId, id);
  });

  it('verify with the library of the Standard Webhooks specification', async () => {
    const words = ['--scheme', 'standard', '--secret', STANDARD_SECRET, '--event', 'v1.DeviceBound'];
    const { id } = await add('/standard', ...words);
    await phone('bob');
    const { headers, body } = await receiver.next('/standard');
    const verifier = new Webhook(STANDARD_SECRET);
    assert.equal(verifier.verify(body, headers).payload.user_id, 'bob');
    const forged = body.toString().replace('bob', 'eve');
    assert.throws(() => verifier.verify(forged, headers), /signature/i);
    await webhook('remove', '--instance', heliostat.instanceId, id);
  });

  it('are tried out, seen and replayed from the command line', async () => {
    const instance = ['--instance', heliostat.instanceId];
    const { id, secret } = await add('/tried');
    assert.ok(secret.length >= 32);
    const tried = await webhook('test', ...instance, id);
    assert.equal(tried.status, 200);
    const first = await receiver.next('/tried', isOf('v1.Test'));
    assert.equal(first.headers['webhook-request-id-uuid'], tried.id);
    await webhook('replay', ...instance, id, tried.id);
    const both = await until('the replay', () => {
      const all = receiver.requests.filter(({ path }) => path === '/tried');
      return all.length === 2 && all;
    });
    assert.deepEqual(both[0].body, both[1].body);
    assert.equal(both[1].headers['webhook-request-id-uuid'], tried.id);
    await until('it is noted', async () => {
      const [delivery] = await webhook('deliveries', ...instance, id);
      return delivery.state === 'delivered' && delivery.event === 'v1.Test';
    });

    receiver.answers['/tried'] = 503;
    await assert.rejects(webhook('test', ...instance, id), /status_503/);
    await webhook('disable', ...instance, id);
    await assert.rejects(webhook('test', ...instance, id), /is disabled/);
    const [listed] = await webhook('list', ...instance);
    assert.deepEqual([listed.state, listed.disabledReason], ['disabled', 'by hand']);
    await webhook('remove', ...instance, id);
    assert.deepEqual(await webhook('list', ...instance), []);
  });

  it('are refused where they must not go, in one line', async () => {
    const refuse = (...words) => assert.rejects(webhook('add', '--instance', heliostat.instanceId, ...words));
    await refuse('--url', 'https://10.0.0.1/');
    await refuse('--url', 'http://app.example.com@10.0.0.1/');
    await refuse('--url', 'ftp://127.0.0.1/');
    await refuse('--url', `${receiver.url}/x`, '--event', 'v1.Nothing');
    await refuse('--url', `${receiver.url}/x`, '--scheme', 'standard', '--secret', 'short');
    await refuse('--url', `${receiver.url}/x`, '--custom-data', '[]');
    assert.deepEqual(await webhook('list', '--instance', heliostat.instanceId), []);
  });

  it('of a publish come as the pair that Beams documents', async () => {
    const body = { interests: ['nobody'], webhookUrl: `${receiver.url}/own`, fcm: { data: {} } };
    const { publishId } = await heliostat.sdk().publishToInterests(['nobody'], { ...body, interests: undefined });
    const started = await receiver.next('/own', ({ status }) => status === 'STARTED');
    const finished = await receiver.next('/own', ({ status }) => status === 'FINISHED');
    for (const request of [started, finished]) {
      const told = JSON.parse(request.body);
      assert.equal(told.publishId, publishId);
      assert.equal(told.requestBody.webhookUrl, body.webhookUrl);
    }
    assert.deepEqual(JSON.parse(finished.body).results, { fcm: { numSuccessfulPublishes: 0 } });
  });
});
