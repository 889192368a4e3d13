(() => {
  const form = document.querySelector("form.filter");
  if (!form) return;
  const cards = [...document.querySelectorAll(".card")];
  const fields = ["verdict", "step", "split", "key"];
  const apply = () => {
    const want = new FormData(form);
    let shown = 0;
    for (const card of cards) {
      const fits = fields.every((f) => !want.get(f) || want.get(f) === card.dataset[f]);
      card.hidden = !fits;
      shown += fits;
    }
    form.querySelector("output").value = `${shown} of ${cards.length} shown`;
  };
  form.hidden = false;
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
})();
