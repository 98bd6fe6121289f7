// Programs that a test starts, and their certain end.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

const STOP_SECONDS = 20;
const OUTPUT_CHARACTERS_MAX = 200_000;

const running = new Set();

// A test runner that is told to stop takes everything along that its tests started.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    for (const child of running) child.kill();
    process.exit(1);
  });
}
process.on('exit', () => {
  for (const child of running) child.kill();
});

/** A running program whose output is kept, so that a failure can show it. */
export class Child {
  #process;
  #exited;
  output = '';
  /** What it wrote to standard output alone. */
  answer = '';

  constructor(command, args, options = {}) {
    this.name = command.split('/').pop();
    this.#process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    running.add(this.#process);
    const keep = (text) => {
      this.output = (this.output + text).slice(-OUTPUT_CHARACTERS_MAX);
    };
    this.#process.stdout.setEncoding('utf8').on('data', (text) => {
      this.answer = (this.answer + text).slice(-OUTPUT_CHARACTERS_MAX);
      keep(text);
    });
    this.#process.stderr.setEncoding('utf8').on('data', keep);
    this.#exited = Promise.race([
      once(this.#process, 'close').then(([code, signal]) => code ?? signal),
      once(this.#process, 'error').then(([error]) => {
        keep(String(error));
        return 'not started';
      }),
    ]).finally(() => running.delete(this.#process));
  }

  get isRunning() {
    return running.has(this.#process);
  }

  /** The exit code, or the name of the signal that ended it. */
  exit() {
    return this.#exited;
  }

  /** Asks it to end, and ends it if it does not. Returns how it ended. */
  async stop(signal = 'SIGTERM') {
    if (this.isRunning) this.#process.kill(signal);
    const force = setTimeout(() => this.#process.kill('SIGKILL'), STOP_SECONDS * 1000);
    try {
      return await this.#exited;
    } finally {
      clearTimeout(force);
    }
  }
}

/** Runs a program to its end and returns its standard output; throws if it fails. */
export async function run(command, args, options) {
  const child = new Child(command, args, options);
  const code = await child.exit();
  if (code !== 0) throw new Error(`${child.name} ${args.join(' ')} ended with ${code}: ${child.output}`);
  return child.answer;
}
