// The heliostat program as a person runs it: the emulators, the server and the commands that manage it.

import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Child, run } from './child.mjs';
import { until } from './wait.mjs';

const PROGRAM =
  process.env.HELIOSTAT_BIN ?? fileURLToPath(new URL('../../../../../target/debug/heliostat', import.meta.url));

/** The official server SDK for Node. */
export const PushNotifications = createRequire(import.meta.url)('@pusher/push-notifications-server');

/** APNs, FCM and a Web Push service on loopback. */
class Emulators {
  #process;

  static async start(directory) {
    const emulators = new Emulators();
    emulators.#process = new Child(PROGRAM, ['emulate', '--out', directory]);
    try {
      emulators.env = await until('the emulators to write env.sh', async () => {
        if (!emulators.#process.isRunning) throw new Error(emulators.#process.output);
        const lines = (await readFile(join(directory, 'env.sh'), 'utf8')).matchAll(/^export (\w+)='(.*)'$/gm);
        return Object.fromEntries([...lines].map(([, name, value]) => [name, value]));
      });
    } catch (error) {
      await emulators.stop();
      throw error;
    }
    return emulators;
  }

  get browserUrl() {
    return this.env.EMULATOR_BROWSER_URL;
  }

  async #control(method, path, body) {
    const response = await fetch(`${this.env.EMULATOR_CONTROL_URL}${path}`, { method, body: JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) throw new Error(`the emulators answered ${response.status}: ${JSON.stringify(answer)}`);
    return answer;
  }

  /** What a gateway has seen, oldest first; `token` names one device of it. */
  notifications(gateway, token) {
    const query = new URLSearchParams({ gateway, ...(token && { token }) });
    return this.#control('GET', `/notifications?${query}`);
  }

  /** The first notification of a publish that reaches this device. */
  notification(gateway, token, publishId) {
    return until(`${publishId} at ${gateway}`, async () => {
      const all = await this.notifications(gateway, token);
      return all.find(({ payload }) => JSON.stringify(payload ?? '').includes(publishId));
    });
  }

  /** A subscription whose keys the emulator holds, so that it can show what was in its messages. */
  subscription(applicationServerKey) {
    return this.#control('POST', '/subscriptions', { applicationServerKey });
  }

  stop() {
    return this.#process.stop();
  }
}

/** Emulators, a server, and one instance with credentials for all gateways. */
export class Heliostat {
  #directory;
  #emulators;
  #server;
  #env;
  /** The instance's id and secret key. */
  instanceId = randomUUID();
  secretKey = randomBytes(32).toString('hex').toUpperCase();

  static start() {
    return Heliostat.#begin(true);
  }

  /** A server as somebody finds it who has only the program: no instance, nobody who can sign in. */
  static startEmpty() {
    return Heliostat.#begin(false);
  }

  static async #begin(furnished) {
    const heliostat = new Heliostat();
    try {
      await heliostat.#start(furnished);
    } catch (error) {
      await heliostat.stop();
      throw error;
    }
    return heliostat;
  }

  async #start(furnished) {
    this.#directory = await mkdtemp(join(tmpdir(), 'heliostat-sdk-'));
    this.#emulators = await Emulators.start(join(this.#directory, 'emulators'));
    this.#env = {
      ...process.env,
      ...this.#emulators.env,
      HELIOSTAT_DATABASE: `sqlite:${join(this.#directory, 'heliostat.db')}`,
    };
    if (furnished) await this.#createInstance();
    await this.#serve('127.0.0.1:0');
  }

  async #serve(listen) {
    this.#server = new Child(PROGRAM, ['serve', '--listen', listen], { env: this.#env });
    this.url = await until('the server to say where it listens', () => {
      if (!this.#server.isRunning) throw new Error(this.#server.output);
      return this.#server.output.match(/listening on (http:\/\/127\.0\.0\.1:\d+)/)?.[1];
    });
    await until('the server to be ready', async () => (await fetch(`${this.url}/readyz`)).ok);
  }

  async #createInstance() {
    const { EMULATOR_APNS_KEY_FILE, APNS_KEY_ID, APNS_TEAM_ID, EMULATOR_SERVICE_ACCOUNT_FILE } = this.#emulators.env;
    const instance = this.instanceId;
    await this.command('instance', 'create', '--name', 'SDKs', '--id', instance, '--secret-key', this.secretKey);
    const apnsKey = ['--key-file', EMULATOR_APNS_KEY_FILE, '--key-id', APNS_KEY_ID, '--team-id', APNS_TEAM_ID];
    await this.command('credential', 'set', 'apns', '--instance', instance, ...apnsKey);
    const account = ['--service-account', EMULATOR_SERVICE_ACCOUNT_FILE];
    await this.command('credential', 'set', 'fcm', '--instance', instance, ...account);
  }

  /** The link that it printed at its start, for a server into which nobody can sign in. */
  signInLink() {
    return until('a sign-in link', () => this.#server.answer.match(/http:\S+\/sign-in\?link=\S+/)?.[0]);
  }

  /** Ends the server and starts it anew at the same address. */
  async restart() {
    await this.#server.stop();
    await this.#serve(new URL(this.url).host);
  }

  /** An admin token that may do everything. */
  async adminToken() {
    return JSON.parse(await this.command('admin-token', 'create', '--name', 'tests', '--json')).token;
  }

  /** Another instance, in which nothing has happened. */
  async emptyInstance(name) {
    return JSON.parse(await this.command('instance', 'create', '--name', name, '--json')).id;
  }

  /** A device's report of a publish. */
  async report(event, publishId, deviceId) {
    const response = await fetch(`${this.url}/reporting_api/v2/instances/${this.instanceId}/events`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ event, publishId, deviceId, timestampSecs: Math.floor(Date.now() / 1000) }),
    });
    if (!response.ok) throw new Error(`reporting: ${response.status}`);
  }

  get emulators() {
    return this.#emulators;
  }

  /** Runs `heliostat ...` beside the server and returns what it printed. */
  command(...args) {
    return run(PROGRAM, args, { env: this.#env });
  }

  /** The official Node SDK, pointed at this server; `changes` replace what it is made with. */
  sdk(changes = {}) {
    const { hostname, port } = new URL(this.url);
    const { instanceId, secretKey } = this;
    return new PushNotifications({ instanceId, secretKey, endpoint: hostname, port, ...changes });
  }

  /** A request to the device API of the instance, as a client SDK makes it. */
  async device(method, path, { token, body } = {}) {
    const response = await fetch(`${this.url}/device_api/v1/instances/${this.instanceId}${path}`, {
      method,
      headers: { ...(body && { 'Content-Type': 'application/json' }), ...(token && { Authorization: `Bearer ${token}` }) },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, body: text && JSON.parse(text) };
  }

  /** Registers a device and returns its id. */
  async register(platform, body) {
    const answer = await this.device('POST', `/devices/${platform}`, { body });
    if (answer.status !== 200) throw new Error(`registering: ${JSON.stringify(answer)}`);
    return answer.body.id;
  }

  /** Registers a browser whose messages the emulator can read; returns its device id and its name at the emulator. */
  async registerBrowser() {
    const { vapidPublicKey } = (await this.device('GET', '/web-vapid-public-key')).body;
    const subscription = await this.#emulators.subscription(vapidPublicKey);
    const token = Buffer.from(JSON.stringify(subscription)).toString('base64');
    const id = await this.register('web', { token, metadata: { sdkVersion: '2.1.0' } });
    return { id, at: subscription.endpoint.split('/').pop() };
  }

  /** The sum of a metric's samples that have all these labels. */
  async metric(name, labels = {}) {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    return text
      .split('\n')
      .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      .filter((line) => wanted.every((label) => line.includes(label)))
      .reduce((sum, line) => sum + Number(line.split(' ').pop()), 0);
  }

  /** Waits until no delivery is left to do. */
  settled() {
    return until('all deliveries to have their end', async () => {
      const waiting = (await this.metric('heliostat_queue_jobs')) + (await this.metric('heliostat_queue_retries'));
      return waiting === 0;
    });
  }

  /** Ends everything and removes what it wrote. Throws if the server did not end well. */
  async stop() {
    const code = await this.#server?.stop();
    await this.#emulators?.stop();
    if (this.#directory) await rm(this.#directory, { recursive: true, force: true });
    if (code) throw new Error(`the server ended with ${code}: ${this.#server.output}`);
  }
}
