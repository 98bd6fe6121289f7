// WebDriver BiDi, as much of it as these tests need: commands and their answers over one WebSocket.

import { WebSocket } from 'ws';

const ANSWER_SECONDS = 60;

export class Bidi {
  #socket;
  #waiting = new Map();
  #last = 0;

  /** Connects and begins a session. */
  static async connect(url) {
    const bidi = new Bidi();
    await bidi.#open(url);
    await bidi.send('session.new', { capabilities: {} });
    return bidi;
  }

  #open(url) {
    this.#socket = new WebSocket(url);
    this.#socket.on('message', (data) => this.#take(JSON.parse(data)));
    this.#socket.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the browser has closed the connection'));
      this.#waiting.clear();
    });
    return new Promise((resolve, reject) => {
      this.#socket.on('open', resolve);
      this.#socket.on('error', reject);
    });
  }

  #take(message) {
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return; // An event: nothing here subscribes to any.
    this.#waiting.delete(message.id);
    clearTimeout(waiting.timer);
    if (message.type === 'error') waiting.reject(new Error(`${waiting.method}: ${message.error}: ${message.message}`));
    else waiting.resolve(message.result);
  }

  send(method, params = {}) {
    const id = (this.#last += 1);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`${method}: no answer in ${ANSWER_SECONDS} s`));
      }, ANSWER_SECONDS * 1000);
      this.#waiting.set(id, { method, resolve, reject, timer });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  /** Runs a function with JSON-like arguments in a browsing context, awaits it and returns its result. */
  async call(context, fn, ...args) {
    // Arguments and result travel as JSON, which spares the protocol's own value types.
    const script = `async () => JSON.stringify((await (${fn})(...${JSON.stringify(args)})) ?? null)`;
    const answer = await this.send('script.callFunction', {
      functionDeclaration: script,
      awaitPromise: true,
      target: { context },
    });
    if (answer.type === 'exception') throw new Error(`in the page: ${answer.exceptionDetails.text}`);
    return JSON.parse(answer.result.value);
  }

  close() {
    this.#socket.close();
  }
}
