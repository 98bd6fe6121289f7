// The service worker of /try: shows what arrives, and reports that it was delivered and opened, as the web SDK's does.
'use strict';

const DATABASE = 'heliostat-try';
const STORE = 'device';

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

function device() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const get = request.result.transaction(STORE).objectStore(STORE).get('device');
      get.onsuccess = () => { request.result.close(); resolve(get.result ?? {}); };
      get.onerror = () => { request.result.close(); reject(get.error); };
    };
  });
}

const windows = () => self.clients.matchAll({ type: 'window', includeUncontrolled: true });

async function tell(message) {
  for (const client of await windows()) client.postMessage(message);
}

/** Best effort, as with the SDK: what is lost is a count. */
async function report(event, { instanceId, publishId, hasDisplayableContent, hasData }) {
  const { deviceId, userId } = await device();
  const visible = (await windows()).some((client) => client.visibilityState === 'visible');
  const body = {
    event, publishId, deviceId, userId: userId ?? null,
    timestampSecs: Math.floor(Date.now() / 1000),
    appInBackground: !visible, hasDisplayableContent, hasData,
  };
  try {
    await fetch(`/reporting_api/v2/instances/${instanceId}/events`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
  } catch {
    // Nobody to tell.
  }
}

self.addEventListener('push', (event) => {
  let payload;
  try {
    payload = event.data.json();
  } catch {
    return;
  }
  const pusher = payload.data?.pusher;
  if (!pusher) return;
  event.waitUntil(receive(payload.notification ?? {}, pusher));
});

async function receive(notification, pusher) {
  const { title = '', body = '', icon, deep_link: link } = notification;
  const reported = report('delivery', pusher);
  const focused = (await windows()).some((client) => client.focused);
  if (!(notification.hide_notification_if_site_has_focus === true && focused)) {
    await self.registration.showNotification(title, { body, icon, data: { pusher, link } });
  }
  await tell({ kind: 'received', title, text: body, publish: pusher.publishId });
  await reported;
}

self.addEventListener('notificationclick', (event) => {
  const { pusher, link } = event.notification.data ?? {};
  event.notification.close();
  if (pusher) event.waitUntil(open(event.notification, pusher, link));
});

async function open(notification, pusher, link) {
  const reported = report('open', pusher);
  await tell({ kind: 'opened', title: notification.title, text: notification.body, publish: pusher.publishId });
  if (link) {
    const known = (await windows()).find((client) => client.url === link);
    await (known ? known.focus() : self.clients.openWindow(link)).catch(() => {});
  }
  await reported;
}
