// Keeps the page up to date by server-sent events, and copies commands. Everything works without it.
"use strict";
(() => {
  const view = document.body.dataset.live;
  const light = document.getElementById("live-state");
  const say = (text, state) => {
    if (!light) return;
    light.textContent = text;
    light.dataset.state = state;
  };
  const replace = (id, html) => {
    const part = document.getElementById(id);
    if (!part) return;
    // What somebody selects or works with stays.
    if (part.contains(document.activeElement) && document.activeElement !== document.body) {
      const focused = document.activeElement.getAttribute("href");
      part.innerHTML = html;
      const again = focused && part.querySelector(`[href="${CSS.escape(focused)}"]`);
      if (again) again.focus({ preventScroll: true });
      return;
    }
    part.innerHTML = html;
  };
  if (view && window.EventSource) {
    const source = new EventSource("/live?view=" + encodeURIComponent(view));
    source.addEventListener("open", () => say("live", "on"));
    source.addEventListener("parts", (e) => {
      for (const [id, html] of Object.entries(JSON.parse(e.data))) replace(id, html);
    });
    source.addEventListener("shape", () => location.reload());
    source.addEventListener("error", () => say("connection lost", "off"));
    window.addEventListener("pagehide", () => source.close());
  }
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "copied";
      setTimeout(() => (button.textContent = "copy"), 1500);
    });
  }
})();
