// What all pages add to plain HTML: copying, times of the reader's own zone, files read into text fields.
'use strict';

document.documentElement.classList.add('js');

function localise(part) {
  for (const time of part.querySelectorAll('time[data-local]')) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = time.dateTime;
    time.textContent = at.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
  }
}
localise(document);

// On a phone the navigation is a line that is wider than the screen.
document.querySelector('nav.side [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });

// What is under way looks again by itself, ever more rarely, until it is over: not while it is out of sight, and not while
// somebody is in it with the keyboard or has selected a text.
async function renew(pause) {
  const part = document.querySelector('[data-live]');
  if (!part) return;
  if (!document.hidden && !part.contains(document.activeElement) && getSelection().isCollapsed) {
    try {
      const answer = await fetch(location.href);
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const fresh = answer.ok && page.getElementById(part.id);
      if (fresh) {
        localise(fresh);
        part.replaceWith(fresh);
      }
    } catch {
      // The next time may do better.
    }
  }
  setTimeout(renew, pause, Math.min(pause * 1.2, 15000));
}
setTimeout(renew, 1000, 1500);

document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = 'Copied';
  } catch {
    button.textContent = 'Press Ctrl-C';
    const code = button.parentElement.querySelector('code');
    if (code) getSelection().selectAllChildren(code);
  }
  setTimeout(() => { button.textContent = before; }, 2000);
});

// A file chosen here only fills the text field: it is sent with the form and with nothing else.
for (const area of document.querySelectorAll('textarea[data-file]')) {
  const label = document.createElement('label');
  label.className = 'hint';
  label.append('or read it from a file: ');
  const input = document.createElement('input');
  input.type = 'file';
  input.addEventListener('change', async () => {
    if (input.files.length === 1 && input.files[0].size < 65536) area.value = await input.files[0].text();
  });
  label.append(input);
  area.after(label);
}

// What must not happen twice by a second click.
for (const form of document.querySelectorAll('form[data-once]')) {
  form.addEventListener('submit', () => {
    for (const button of form.querySelectorAll('button')) button.disabled = true;
  });
}

const goal = document.querySelector('[data-scroll-here] h2');
if (goal) goal.focus();
