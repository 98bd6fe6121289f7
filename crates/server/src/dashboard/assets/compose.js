// Shows a notification while it is written.
'use strict';

const EMPTY = { title: 'Title', text: 'What it says' };

function show(field) {
  const name = field.dataset.preview;
  for (const place of document.querySelectorAll(`[data-shows="${name}"]`)) place.textContent = field.value || EMPTY[name];
}

for (const field of document.querySelectorAll('[data-preview]')) {
  field.addEventListener('input', () => show(field));
  show(field);
}

for (const box of document.querySelectorAll('[data-preview-platform]')) {
  const preview = document.querySelector(`[data-preview-of="${box.dataset.previewPlatform}"]`);
  box.addEventListener('change', () => preview.classList.toggle('off', !box.checked));
}
