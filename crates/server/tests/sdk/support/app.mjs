// The app that a person uses in the browser: its pages, its login, and the endpoint that signs Beams tokens.
// It is what the Beams guides tell an app's author to write, and knows Heliostat only by its address.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

import { build } from 'esbuild';

const { resolve } = createRequire(import.meta.url);
const SDK = resolve('@pusher/push-notifications-web');

const PAGE = ({ instanceId, heliostat }) => `<!doctype html>
<title>The app</title>
<script type="module">
  import { Client, TokenProvider } from '/beams.js';
  window.beams = new Client({ instanceId: '${instanceId}', endpointOverride: '${heliostat}' });
  window.tokenProvider = new TokenProvider({ url: '/beams-auth' });
</script>`;

const WORKER = ({ heliostat }) => `importScripts('/beams-service-worker.js');
PusherPushNotifications.endpointOverride = '${heliostat}';
`;

/** The SDK's service worker, which its package has only as a source. */
async function bundleWorker() {
  const source = `${dirname(dirname(SDK))}/src/service-worker.js`;
  const { outputFiles } = await build({ entryPoints: [source], bundle: true, format: 'iife', write: false });
  return outputFiles[0].text;
}

export class App {
  #server;
  #sessions = new Map();
  #files;
  #beams;

  /** `beams` is the app's own client of the Node server SDK; `heliostat` the URL that browsers are given. */
  static async start({ beams, heliostat }) {
    const app = new App();
    const names = { instanceId: beams.instanceId, heliostat };
    app.#beams = beams;
    app.#files = new Map([
      ['/', ['text/html', PAGE(names)]],
      ['/offers/42', ['text/html', '<!doctype html><title>Offer 42</title>']],
      ['/beams.js', ['text/javascript', await readFile(SDK, 'utf8')]],
      ['/service-worker.js', ['text/javascript', WORKER(names)]],
      ['/beams-service-worker.js', ['text/javascript', await bundleWorker()]],
    ]);
    app.#server = createServer((request, response) => app.#answer(request, response));
    app.#server.listen(0, '127.0.0.1');
    await once(app.#server, 'listening');
    app.origin = `http://127.0.0.1:${app.#server.address().port}`;
    return app;
  }

  #answer(request, response) {
    const url = new URL(request.url, this.origin);
    const [type, text] = this.#files.get(url.pathname) ?? [];
    if (text) {
      response.writeHead(200, { 'Content-Type': `${type}; charset=utf-8` }).end(text);
    } else if (request.method === 'POST' && url.pathname === '/login') {
      // Whoever knows a name may have it: the password is not what is tested.
      const session = randomUUID();
      this.#sessions.set(session, url.searchParams.get('user'));
      response.writeHead(204, { 'Set-Cookie': `session=${session}; HttpOnly; SameSite=Strict; Path=/` }).end();
    } else if (url.pathname === '/beams-auth') {
      this.#signToken(request, url.searchParams.get('user_id'), response);
    } else {
      response.writeHead(404).end();
    }
  }

  /** A token for the user who is logged in, whatever the page asks for. */
  #signToken(request, wanted, response) {
    const session = /session=([^;]+)/.exec(request.headers.cookie ?? '')?.[1];
    const user = this.#sessions.get(session);
    const [status, body] =
      user !== undefined && user === wanted
        ? [200, this.#beams.generateToken(user)]
        : [401, { error: 'Unauthorized', description: 'this is not who is logged in' }];
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  }

  async stop() {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
