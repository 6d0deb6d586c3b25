// Follows the page's stream and fills the parts that changed. A part that holds the focus is left alone until it is free.
"use strict";

(() => {
  const at = document.body.dataset.stream;
  const lamp = document.getElementById("live");
  if (!at || !lamp) return;
  const held = new Map();

  function say(lost) {
    lamp.classList.toggle("lost", lost);
    lamp.lastElementChild.textContent = lost ? lamp.dataset.lost : lamp.dataset.live;
  }

  function fill(id, html) {
    const part = document.getElementById(id);
    if (!part) return;
    if (part.contains(document.activeElement)) {
      held.set(id, html);
      return;
    }
    held.delete(id);
    part.innerHTML = html;
    part.dispatchEvent(new CustomEvent("filled", { bubbles: true }));
  }

  document.addEventListener("focusout", () => {
    setTimeout(() => held.forEach((html, id) => fill(id, html)), 50);
  });

  const query = new URLSearchParams(location.search);
  query.set("at", location.pathname.replace(/\/$/, "") || at);
  let stream = null;

  function follow() {
    stream = new EventSource(`/console/live?${query}`);
    stream.addEventListener("parts", (event) => {
      say(false);
      for (const [id, html] of Object.entries(JSON.parse(event.data))) fill(id, html);
    });
    stream.addEventListener("behind", () => say(true));
    // The browser comes back by itself; what it must not do is show old figures as if they were new.
    stream.onerror = () => say(true);
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden && stream) {
      stream.close();
      stream = null;
    } else if (!document.hidden && !stream) {
      follow();
    }
  });
  follow();
})();
