// A receiver of webhooks that keeps what it gets, and answers each path as it is told.

import { createServer } from 'node:http';

import { until } from './wait.mjs';

/** A backend: keeps what it is told by path, and answers 200, or what `answers` says for a path. */
export class Receiver {
  requests = [];
  answers = {};
  #server = createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      this.requests.push({ path: request.url, headers: request.headers, body: Buffer.concat(chunks) });
      response.writeHead(this.answers[request.url] ?? 200).end();
    });
  });

  async start() {
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
  }

  stop() {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  /** The first request to a path that fits. */
  next(path, fits = () => true) {
    return until(`a request to ${path}`, () => this.requests.find((r) => r.path === path && fits(JSON.parse(r.body))));
  }
}
