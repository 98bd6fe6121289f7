// Goes on with the console where the page left off. The browser reconnects by itself and says where it was.
'use strict';

const LINES_MAX = 500;
const list = document.querySelector('[data-events]');
const pulse = document.querySelector('[data-pulse]');
const state = document.querySelector('[data-live-state]');

function element(name, text, className) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function link(href, text, className) {
  const made = element('a', '', className);
  made.href = href;
  const inner = element('bdi', text);
  made.append(inner);
  return made;
}

function line(base, { at, kind, class: colour, words, detail, user, device, publish, interests }) {
  const item = element('li');
  const time = element('time', new Date(at).toLocaleTimeString());
  time.dateTime = at;
  const badge = element('span');
  badge.append(element('span', kind, `badge ${colour}`));
  const what = element('div', '', 'what');
  const said = element('span', detail ? `${words}: ${detail}` : words);
  said.dir = 'auto';
  const tags = element('span', '', 'tags');
  if (user) tags.append('user ', link(`${base}/people?user=${encodeURIComponent(user)}`, user), ' ');
  if (device) tags.append(link(`${base}/people?device=${device}`, device, 'mono'), ' ');
  if (publish) tags.append(link(`${base}/publishes/${publish}`, publish, 'mono'), ' ');
  for (const interest of interests) tags.append(element('code', interest), ' ');
  what.append(said, tags);
  item.append(time, badge, what);
  return item;
}

function follow() {
  const url = new URL(list.dataset.events, location.href);
  url.searchParams.set('after', list.dataset.after);
  const source = new EventSource(url);
  source.addEventListener('open', () => {
    pulse.classList.add('on');
    state.textContent = 'New lines appear on top by themselves.';
  });
  source.addEventListener('error', () => {
    pulse.classList.remove('on');
    const over = source.readyState === EventSource.CLOSED;
    state.textContent = over ? 'The stream has ended. Reload the page.' : 'The connection is lost; trying again …';
  });
  source.addEventListener('message', (event) => {
    document.querySelector('[data-nothing]')?.remove();
    list.prepend(line(list.dataset.base, JSON.parse(event.data)));
    while (list.children.length > LINES_MAX) list.lastElementChild.remove();
  });
}

for (const time of document.querySelectorAll('time[data-clock]')) time.textContent = new Date(time.dateTime).toLocaleTimeString();
if (list) follow();
