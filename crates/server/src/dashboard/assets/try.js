// Makes this browser a device: the web SDK's steps, against the same paths.
'use strict';

const SDK_VERSION = '2.1.0';
const DATABASE = 'heliostat-try';
const STORE = 'device';

const page = document.querySelector('[data-try]');
if (page) begin(page.dataset);

function begin({ instance, token, send, formToken }) {
  const api = `/device_api/v1/instances/${instance}`;
  const register = page.querySelector('[data-act="register"]');
  const sender = page.querySelector('[data-act="send"]');
  const stopper = page.querySelector('[data-act="stop"]');
  const list = page.querySelector('[data-arrived]');

  // ------------------------------------------------------------ what is shown

  const status = (text) => { page.querySelector('[data-status]').textContent = text; };

  function trouble(text) {
    const place = page.querySelector('[data-trouble]');
    place.hidden = !text;
    place.textContent = text ?? '';
  }

  function tick(step, done, text) {
    page.querySelector(`[data-step="${step}"]`).classList.toggle('done', done);
    page.querySelector(`[data-says="${step}"]`).textContent = text;
  }

  function show(device) {
    const here = device?.instanceId === instance;
    tick('registered', here, here ? device.deviceId : 'not yet');
    tick('bound', Boolean(here && device.userId), here && device.userId ? device.userId : 'not yet');
    sender.querySelector('button').disabled = !here;
    stopper.disabled = !here;
    if (here && device.userId) register.elements.user.value = device.userId;
  }

  function arrived({ kind, title, text, publish }) {
    const item = page.ownerDocument.querySelector('[data-template="arrived"]').content.cloneNode(true);
    const fields = { kind, title, text, publish };
    for (const [name, value] of Object.entries(fields)) item.querySelector(`[data-field="${name}"]`).textContent = value;
    item.querySelector('time').textContent = new Date().toLocaleTimeString();
    list.prepend(item);
    page.querySelector('[data-nothing]').hidden = true;
    tick(kind, true, kind === 'opened' ? 'by a click' : title);
  }

  // ------------------------------------------------------------ what is remembered

  function database() {
    return new Promise((resolve, reject) => {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE);
      request.onerror = () => reject(request.error);
      request.onsuccess = () => resolve(request.result);
    });
  }

  async function keep(device) {
    const db = await database();
    await new Promise((resolve, reject) => {
      const change = db.transaction(STORE, 'readwrite');
      change.objectStore(STORE).put(device, 'device');
      change.oncomplete = resolve;
      change.onerror = () => reject(change.error);
    });
    db.close();
  }

  async function kept() {
    const db = await database();
    const device = await new Promise((resolve, reject) => {
      const get = db.transaction(STORE).objectStore(STORE).get('device');
      get.onsuccess = () => resolve(get.result);
      get.onerror = () => reject(get.error);
    });
    db.close();
    return device;
  }

  // ------------------------------------------------------------ what is asked of the server

  async function call(method, path, { body, bearer } = {}) {
    const response = await fetch(path, {
      method,
      headers: {
        ...(body && { 'Content-Type': 'application/json' }),
        ...(bearer && { Authorization: `Bearer ${bearer}` }),
      },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    const answer = text && /json/.test(response.headers.get('Content-Type')) ? JSON.parse(text) : null;
    if (!response.ok) throw new Error(answer?.description ?? `The server answered ${response.status}.`);
    return answer;
  }

  async function ask(path, fields) {
    const response = await fetch(path, { method: 'POST', body: new URLSearchParams({ form_token: formToken, ...fields }) });
    if (response.status === 429) throw new Error('This instance publishes as often as it may. Try again in a moment.');
    if (!response.ok || response.redirected) throw new Error('The server refused it. Reload the page and sign in again.');
    return response.json();
  }

  function bytes(base64url) {
    const base64 = base64url.replaceAll('-', '+').replaceAll('_', '/');
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  }

  const encoded = (subscription) => btoa(JSON.stringify(subscription));

  /** A subscription under this instance's key; one under another key has to go first. */
  async function subscribe(worker) {
    const { vapidPublicKey } = await call('GET', `${api}/web-vapid-public-key`);
    const old = await worker.pushManager.getSubscription();
    if (old) await old.unsubscribe();
    return worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(vapidPublicKey) });
  }

  async function device() {
    const known = await kept();
    const worker = await navigator.serviceWorker.register('/try-worker.js', { scope: '/try', updateViaCache: 'none' });
    const subscription = await worker.pushManager.getSubscription();
    if (known?.instanceId === instance && subscription && known.token === encoded(subscription)) return known;
    status('Waiting for the browser’s push service …');
    const fresh = await subscribe(await ready(worker));
    const token = encoded(fresh);
    const { id } = await call('POST', `${api}/devices/web`, { body: { token, metadata: { sdkVersion: SDK_VERSION } } });
    const made = { instanceId: instance, deviceId: id, token, userId: null };
    await keep(made);
    return made;
  }

  /** Subscribing takes an active worker. */
  function ready(registration) {
    if (registration.active) return registration;
    const worker = registration.installing ?? registration.waiting;
    return new Promise((resolve) => {
      worker.addEventListener('statechange', () => { if (worker.state === 'activated') resolve(registration); });
    });
  }

  // ------------------------------------------------------------ what the buttons do

  async function start(user, interest) {
    if (!('serviceWorker' in navigator) || !('PushManager' in window)) {
      throw new Error('This browser has no Web Push here. It needs https, or localhost.');
    }
    if ((await Notification.requestPermission()) !== 'granted') {
      throw new Error('The browser does not let this page show notifications. Allow it beside the address, then try again.');
    }
    let here = await device();
    show(here);
    if (here.userId !== null && here.userId !== user) {
      // A device has one user for good: it is stopped and starts anew.
      await stop();
      here = await device();
    }
    const { token: beams } = await ask(token, { user });
    await call('PUT', `${api}/devices/web/${here.deviceId}/user`, { bearer: beams });
    here = { ...here, userId: user };
    await keep(here);
    if (interest) await call('POST', `${api}/devices/web/${here.deviceId}/interests/${encodeURIComponent(interest)}`);
    show(here);
    status('This browser is a device now. Send it something.');
  }

  async function stop() {
    const known = await kept();
    if (known) await call('DELETE', `/device_api/v1/instances/${known.instanceId}/devices/web/${known.deviceId}`);
    const worker = await navigator.serviceWorker.getRegistration('/try');
    await (await worker?.pushManager.getSubscription())?.unsubscribe();
    await keep(undefined);
    show(undefined);
  }

  async function act(what) {
    trouble(null);
    try {
      await what();
    } catch (error) {
      status('');
      trouble(error.message);
    }
  }

  register.addEventListener('submit', (event) => {
    event.preventDefault();
    act(() => start(register.elements.user.value.trim(), register.elements.interest.value.trim()));
  });
  sender.addEventListener('submit', (event) => {
    event.preventDefault();
    act(async () => {
      const { publishId } = await ask(send, { user: register.elements.user.value.trim(), title: sender.elements.title.value });
      status(`Accepted as ${publishId}.`);
    });
  });
  stopper.addEventListener('click', () => act(async () => {
    await stop();
    status('This browser is no device any more.');
  }));
  navigator.serviceWorker?.addEventListener('message', ({ data }) => arrived(data));
  navigator.serviceWorker?.startMessages();
  kept().then(show, () => show(undefined));
}
