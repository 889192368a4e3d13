(() => {
  const form = document.querySelector("form.filter");
  if (!form) return;
  const SIZE = 24;
  const cards = [...document.querySelectorAll(".card")];
  const pages = document.querySelector(".pages");
  const [back, next] = pages.querySelectorAll("button");
  const texts = new Map();
  const textOf = (card) => {
    if (!texts.has(card)) texts.set(card, card.textContent.toLowerCase());
    return texts.get(card);
  };
  let page = 0;
  const apply = () => {
    const want = [...new FormData(form)].filter(([, value]) => value);
    const fits = (card) => want.every(([name, value]) =>
      name === "text" ? textOf(card).includes(value.toLowerCase()) : card.dataset[name] === value);
    const found = cards.filter(fits);
    const last = Math.max(0, Math.ceil(found.length / SIZE) - 1);
    page = Math.min(Math.max(page, 0), last);
    const shown = new Set(found.slice(page * SIZE, (page + 1) * SIZE));
    for (const card of cards) card.hidden = !shown.has(card);
    form.querySelector("output").value = `${found.length} of ${cards.length}`;
    pages.querySelector("span").textContent = `page ${page + 1} of ${last + 1}`;
    pages.hidden = last === 0;
    back.disabled = page === 0;
    next.disabled = page === last;
  };
  const turn = (by) => { page += by; apply(); };
  const move = (by) => {
    const shown = cards.filter((card) => !card.hidden);
    const at = shown.indexOf(document.activeElement?.closest(".card"));
    shown[Math.min(Math.max(at + by, 0), shown.length - 1)]?.focus();
  };
  const keys = { j: () => move(1), k: () => move(-1), ArrowLeft: () => turn(-1), ArrowRight: () => turn(1) };
  form.hidden = false;
  for (const kind of ["input", "change"]) form.addEventListener(kind, () => { page = 0; apply(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  back.addEventListener("click", () => turn(-1));
  next.addEventListener("click", () => turn(1));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      event.preventDefault(); // it would clear the search
      document.activeElement?.blur();
    }
    if (["INPUT", "SELECT"].includes(event.target.tagName)) return;
    if (event.key === "/") {
      event.preventDefault();
      form.querySelector("input[type=search]").focus();
    } else if (document.activeElement?.closest(".scroll, pre") === null || event.key.length === 1) {
      keys[event.key]?.();
    }
  });
  apply();
})();
