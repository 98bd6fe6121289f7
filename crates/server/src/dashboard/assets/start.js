// Ticks the list of firsts as they happen.
'use strict';

const EVERY_MILLISECONDS = 1500;
const list = document.querySelector('[data-firsts]');

async function look() {
  if (!document.hidden) {
    try {
      const response = await fetch(list.dataset.firsts, { headers: { Accept: 'application/json' } });
      if (response.ok) tick(await response.json());
    } catch {
      // The server may be restarting; the next look tells.
    }
  }
  setTimeout(look, EVERY_MILLISECONDS);
}

function tick(firsts) {
  for (const item of list.querySelectorAll('[data-first]')) {
    if (!firsts[item.dataset.first] || item.classList.contains('done')) continue;
    item.classList.add('done');
    item.querySelector('[data-said]').textContent = ': done';
  }
}

if (list) look();
