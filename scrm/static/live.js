// Asks for this very page every few seconds and swaps the parts marked data-live whose content changed.
// A part that holds the focus is left alone, and nothing happens while the page is hidden or paused.
"use strict";

const EVERY = 3000;
const button = document.getElementById("live");
let paused = false;

function swap(fresh) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (next && next.innerHTML !== part.innerHTML && !part.contains(document.activeElement)) {
      part.replaceChildren(...next.childNodes);
    }
  }
}

async function refresh() {
  if (paused || document.hidden) return;
  try {
    const answer = await fetch(location.pathname + location.search, { signal: AbortSignal.timeout(10000) });
    if (answer.ok) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
    button.classList.toggle("lost", !answer.ok);
  } catch {
    button.classList.add("lost");
  }
}

async function beat() {
  await refresh();
  setTimeout(beat, EVERY);
}

if (button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.classList.toggle("paused", paused);
    button.lastElementChild.textContent = paused ? button.dataset.resume : button.dataset.pause;
    if (!paused) refresh();
  });
  setTimeout(beat, EVERY);
}
