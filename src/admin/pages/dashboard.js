// Brings the parts of a page that change up to date every five seconds, by loading the same page again. Everything is there without this script.
"use strict";
(() => {
  const parts = document.querySelectorAll("[data-live]");
  const main = document.querySelector("main");
  if (parts.length === 0 || !main) return;
  let paused = false;
  const button = document.createElement("button");
  button.type = "button";
  const name = () => {
    button.textContent = paused ? document.body.dataset.resume : document.body.dataset.pause;
    button.setAttribute("aria-pressed", String(paused));
  };
  button.addEventListener("click", () => { paused = !paused; name(); });
  name();
  main.querySelector("h1").after(button);

  const busy = (part) => part.contains(document.activeElement) || part.querySelector("details[open]") !== null;
  const look = async () => {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (!answer.ok || answer.redirected) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const found = fresh.getElementById(part.id);
        // Nothing is taken away from under somebody who reads or types there.
        if (found && !busy(part)) part.replaceChildren(...document.adoptNode(found).childNodes);
      }
    } catch {
      // The next look may succeed; what is shown says when it was read.
    }
  };
  setInterval(look, 5000);
})();
