(() => {
  for (const section of document.querySelectorAll("section.curves")) {
    const form = section.querySelector("form.tabs");
    const panes = [...section.querySelectorAll("[data-axis]")];
    const show = () => {
      const axis = new FormData(form).get(form.dataset.name);
      for (const pane of panes) pane.hidden = pane.dataset.axis !== axis;
    };
    form.classList.add("on");
    form.addEventListener("change", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    show();
  }

  const SIZE = 12;
  for (const section of document.querySelectorAll("section.theatre")) {
    const form = section.querySelector("form.filter");
    if (!form) continue;
    const scenes = [...section.querySelectorAll(".scene")];
    const buttons = [...section.querySelectorAll("button")];
    let page = 0;
    const fits = (scene) => {
      const want = new FormData(form);
      const outcome = scene.dataset.outcome;
      const differ = outcome.includes("r") && outcome.includes("w");
      if (want.get("agree") === "differ" && !differ) return false;
      if (want.get("agree") === "same" && differ) return false;
      for (const field of ["split", "seed"]) {
        if (want.get(field) && want.get(field) !== scene.dataset[field]) return false;
      }
      if (want.get("right") && outcome[want.get("right")] !== "r") return false;
      if (want.get("wrong") && outcome[want.get("wrong")] !== "w") return false;
      return true;
    };
    const apply = () => {
      const found = scenes.filter(fits);
      const last = Math.max(0, Math.ceil(found.length / SIZE) - 1);
      page = Math.min(Math.max(page, 0), last);
      const shown = new Set(found.slice(page * SIZE, (page + 1) * SIZE));
      for (const scene of scenes) scene.hidden = !shown.has(scene);
      form.querySelector("output").value = `${found.length} of ${scenes.length} problems`;
      section.querySelector(".where-in").textContent = `page ${page + 1} of ${last + 1}`;
      buttons[0].disabled = page === 0;
      buttons[1].disabled = page === last;
    };
    const turn = (by) => { page += by; apply(); };
    form.hidden = false;
    section.querySelector(".pages").hidden = false;
    form.addEventListener("change", () => { page = 0; apply(); });
    form.addEventListener("submit", (event) => event.preventDefault());
    buttons[0].addEventListener("click", () => turn(-1));
    buttons[1].addEventListener("click", () => turn(1));
    section.addEventListener("keydown", (event) => {
      if (["SELECT", "INPUT"].includes(event.target.tagName)) return;
      if (event.key === "ArrowLeft") turn(-1);
      if (event.key === "ArrowRight") turn(1);
    });
    apply();
  }
})();
