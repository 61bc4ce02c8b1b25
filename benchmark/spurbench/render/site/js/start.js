// Puts the page together: what is in the address, the table, the record and the figures.
const PLACE = { groups: drawGroups, average: drawAverage, cost: drawCost };

const idle = window.requestIdleCallback || ((run) => setTimeout(run, 30));

function makeFigures(data, all, opened) {
  let waiting = [];
  const of = document.getElementById("place");
  const cost = make("select", { "aria-label": "cost" }, ...Object.entries(COSTS).map(([value, title]) => make("option", { value }, title)));
  const ranked = make("select", { "aria-label": "supervision ranked" });
  const robust = make("select", { "aria-label": "data set" }, ...data.robustness.map(({ dataset }, place) => make("option", { value: place }, dataset)));
  const controls = { cost, ranks: ranked, robustness: robust };
  const where = ({ story }) => [story.dataset, story.backbone, story.rules].join(" · ");
  let rows = [];

  function contentOf(id, width) {
    if (id === "ranks") {
      const ranking = data.rankings[state.selection][ranked.value];
      return ranking ? drawRanks({ ranking, width }) : { caption: "Ranks need two methods that are complete in two tables or more." };
    }
    if (id === "robustness") return drawRobustness({ found: data.robustness[robust.value], width });
    const some = rows.filter((row) => where(row) === of.value && row.score);
    if (!some.length) return { caption: "Nothing to draw under these filters." };
    return PLACE[id]({ rows: some, width, choice: cost.value });
  }

  function draw(figure) {
    const box = figure.querySelector(".plot");
    const { drawn, caption } = contentOf(figure.dataset.figure, Math.max(280, box.clientWidth));
    box.replaceChildren(...(drawn ? [drawn] : []));
    box.classList.toggle("nothing", !drawn);
    box.dataset.width = box.clientWidth;
    figure.querySelector("figcaption").textContent = caption;
    figure.querySelector(".save").hidden = !drawn;
    if (drawn) drawn.addEventListener("click", () => { const row = drawn.value && (drawn.value.row || drawn.value); if (row && row.story) opened(row); });
  }

  function fill(select, entries) {
    const before = select.value;
    select.replaceChildren(...entries.map(([value, title]) => make("option", { value }, title)));
    if (entries.some(([value]) => String(value) === before)) select.value = before;
  }

  // One at a time, so that typing and scrolling come first.
  function drawWaiting() {
    const figure = waiting.shift();
    if (!figure) return;
    draw(figure);
    idle(drawWaiting);
  }

  function drawLater() {
    if (!waiting.length) idle(drawWaiting);
    waiting = [...figures];
  }

  function update() {
    rows = all[state.selection].filter(matches);
    fill(of, [...new Set(rows.map(where))].map((name) => [name, name]));
    const rules = new Set(data.rankings[state.selection].map((ranking) => ranking.rules));
    fill(ranked, data.rankings[state.selection].map(({ track, rules: name }, place) => [place, told(track) + (rules.size > 1 ? ` · ${name}` : "")]));
    ranked.hidden = !ranked.options.length;
    drawLater();
  }

  const figures = [...document.querySelectorAll("[data-figure]")].filter((figure) => figure.dataset.figure !== "robustness" || data.robustness.length);
  document.getElementById("figure-robustness").hidden = !data.robustness.length;
  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    if (target.dataset.width && target.dataset.width !== String(target.clientWidth)) draw(target.closest("figure"));
  }));
  for (const figure of figures) {
    const control = controls[figure.dataset.figure];
    if (control) { figure.querySelector(".controls").append(control); control.addEventListener("change", () => draw(figure)); }
    figure.querySelector(".save").addEventListener("click", saved);
    sizes.observe(figure.querySelector(".plot"));
  }
  of.addEventListener("change", drawLater);
  addEventListener("beforeprint", () => { waiting = []; figures.forEach(draw); });
  const closeTips = ({ target }) => {
    for (const figure of figures) {
      const drawn = figure.querySelector(".plot svg");
      if (drawn && drawn.value && !drawn.contains(target)) draw(figure);
    }
  };
  addEventListener("scroll", closeTips, { passive: true });
  addEventListener("pointerdown", closeTips);
  return update;
}

// The link's own target becomes the drawing as it is, black on white.
function saved(event) {
  const drawn = event.target.closest("figure").querySelector(".plot svg").cloneNode(true);
  drawn.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  drawn.setAttribute("style", "color: #1c1b19; background: #fff; --plot-background: #fff; font: 11px system-ui, sans-serif");
  const link = event.target.closest("a");
  URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(drawn)], { type: "image/svg+xml" }));
}

async function start() {
  const box = document.getElementById("data");
  const data = await unpack(box.textContent);
  box.remove();
  const all = rowsOf(data);
  const selections = Object.keys(all);
  const meaning = JSON.parse(document.getElementById("meaning").dataset.meaning);
  readAddress(selections);
  const remember = () => writeAddress(selections);
  state.shownToo = new Set(all[selections[0]].some(hasMoreSeeds) ? ["seeds"] : []);
  const open = (row) => { state.record = row.id; remember(); openRecord(row); };
  const table = makeTable(all[state.selection], open, (sort) => { state.sort = sort; remember(); });
  const updateFigures = makeFigures(data, all, open);
  let selection = state.selection;

  function show() {
    if (selection !== state.selection) {
      selection = state.selection;
      table.clear().rows.add(all[selection]);
    }
    for (const block of document.querySelectorAll("[data-selected-by]")) block.hidden = block.dataset.selectedBy !== selection;
    document.getElementById("meaning").textContent = `Configurations are chosen by ${meaning[selection]}.`;
    showFilters();
    table.draw();
    updateFigures();
  }

  function follow() {
    readAddress(selections);
    showColumns(table);
    sortTable(table);
    show();
    if (state.record) openNamed(state.record);
  }

  function openNamed(id) {
    const row = all[selection].find((each) => each.id === id);
    if (row) open(row);
    else openMissing(id);
  }

  const changed = () => { remember(); show(); };
  makeColumnMenu(table, remember);
  listenToFilters(changed);
  listenToRecord(() => { state.record = null; remember(); });
  document.getElementById("reset").addEventListener("click", () => { history.replaceState(null, "", "#"); follow(); });
  addEventListener("hashchange", follow);
  document.getElementById("short").addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    openNamed(new URLSearchParams(link.hash.slice(1)).get("record"));
  });
  addEventListener("beforeprint", () => {
    table.page.len(-1).draw();
    for (const fold of document.querySelectorAll(".fold")) fold.open = true;
  });
  addEventListener("afterprint", () => table.page.len(PAGE).draw());
  follow();
}

// Where a browser cannot do it, the tables for those without scripts are shown. They are this page's own markup.
start().catch((error) => {
  document.documentElement.className = "";
  const plain = document.getElementById("plain");
  plain.insertAdjacentHTML("afterend", plain.textContent);
  throw error;
});
