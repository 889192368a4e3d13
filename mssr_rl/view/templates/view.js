// Live updates, keys and filters. Every page can be read without this script.
(() => {
  const every = () => Number(document.getElementById("main").dataset.every); // ms between two looks
  const pulse = document.getElementById("pulse");
  const typing = () => ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement?.tagName);
  const inUse = (part) => part.matches(":hover") && part.tagName === "FIGURE";

  // Replace only the parts that changed, so that focus, choices and scroll positions stay.
  const PARTS = "h1, p, figure, tr, ul, dl, article, output, section, thead, .links";
  const same = (a, b) => a.outerHTML === b.outerHTML;
  const merge = (old, fresh) => {
    if (same(old, fresh) || old.contains(document.activeElement) && old.tagName === "FORM") return;
    const a = [...old.children], b = [...fresh.children];
    const alike = a.length === b.length && a.every((e, i) => e.tagName === b[i].tagName);
    if (!alike || old.matches(PARTS) && !old.matches("section, tr") || !a.length) {
      if (!inUse(old) && !old.contains(document.activeElement)) old.replaceWith(fresh);
      return;
    }
    a.forEach((child, i) => merge(child, b[i]));
  };

  let tag = "", failures = 0;
  const look = async () => {
    if (!document.hidden) {
      try {
        const headers = tag ? { "If-None-Match": tag } : {};
        const answer = await fetch(location.href, { headers, cache: "no-store" });
        failures = 0;
        if (answer.status === 200) {
          tag = answer.headers.get("ETag") ?? "";
          const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
          const picked = new Set([...document.querySelectorAll(".pick input:checked")].map((i) => i.value));
          const main = document.getElementById("main");
          merge(main, fresh.getElementById("main"));
          main.dataset.every = fresh.getElementById("main").dataset.every;
          for (const box of document.querySelectorAll(".pick input")) box.checked = picked.has(box.value);
          document.title = fresh.title;
          remark();
        }
        pulse.textContent = answer.status === 404 ? "gone" : "live";
        pulse.className = answer.status === 404 ? "pulse lost" : "pulse";
      } catch {
        failures += 1;
        pulse.textContent = "not connected";
        pulse.className = "pulse lost";
      }
      pulse.hidden = false;
    }
    setTimeout(look, every() * Math.min(8, 1 + failures));
  };
  setTimeout(look, every());

  // A filter applies when a choice is made; the address holds it.
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-search]");
    if (form) form.requestSubmit();
    limit();
  });
  document.addEventListener("submit", (event) => {
    for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
  });
  addEventListener("pageshow", () => {
    for (const field of document.querySelectorAll("form [disabled]")) field.disabled = false;
    limit();
  });
  const limit = () => {
    const boxes = [...document.querySelectorAll(".pick input")];
    const chosen = boxes.filter((box) => box.checked).length;
    const button = document.querySelector(".picker button");
    if (button) button.disabled = chosen !== 2;
    for (const box of boxes) box.disabled = chosen === 2 && !box.checked;
  };

  let row = -1;
  const rows = () => [...document.querySelectorAll("[data-row], .cards > .card")];
  const remark = () => {
    limit();
    rows().forEach((item, i) => item.classList.toggle("here", i === row));
  };
  const move = (by) => {
    const all = rows();
    if (!all.length) return;
    row = Math.min(Math.max(row + by, 0), all.length - 1);
    remark();
    const target = all[row].querySelector("a") ?? all[row];
    target.focus({ preventScroll: true });
    all[row].scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      event.preventDefault(); // it would clear the search
      document.activeElement?.blur();
    }
    if (typing()) return;
    if (event.key === "/") {
      event.preventDefault();
      document.querySelector("input[type=search]")?.focus();
    } else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "ArrowLeft") document.querySelector("a[rel=prev]")?.click();
    else if (event.key === "ArrowRight") document.querySelector("a[rel=next]")?.click();
  });
})();
