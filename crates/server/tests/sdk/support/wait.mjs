// Waiting for what will be true, and for nothing else: no test sleeps and hopes.

import { setTimeout as pause } from 'node:timers/promises';

const PATIENCE_SECONDS = 30;
const POLL_MILLISECONDS = 50;

/**
 * Asks until the answer is neither false nor nothing, and returns it. What `ask` throws counts as "not yet".
 *
 * @param {string} what names what is waited for, in the error
 * @param {() => any} ask may be async
 */
export async function until(what, ask, seconds = PATIENCE_SECONDS) {
  const end = Date.now() + seconds * 1000;
  let last;
  for (;;) {
    try {
      last = await ask();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) {
      const seen = last instanceof Error ? last.stack : JSON.stringify(last);
      throw new Error(`waited ${seconds} s in vain for: ${what}; last seen: ${seen}`);
    }
    await pause(POLL_MILLISECONDS);
  }
}
