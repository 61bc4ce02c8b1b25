// What is looked at: kept in the address after the #, so that a link shows the same.
const KINDS = ["dataset", "backbone", "track", "tier", "rules"];
const state = { query: "", selection: "", sort: null, columns: null, shownToo: new Set(), record: null, chosen: {} };

function readAddress(selections) {
  const said = new URLSearchParams(location.hash.slice(1));
  state.query = said.get("q") || "";
  state.selection = selections.includes(said.get("selection")) ? said.get("selection") : selections[0];
  state.sort = said.get("sort");
  state.columns = said.has("columns") ? said.get("columns").split(",") : null;
  state.record = said.get("record");
  for (const kind of KINDS) state.chosen[kind] = new Set(said.getAll(kind));
}

function writeAddress(selections) {
  const said = new URLSearchParams();
  for (const kind of KINDS) for (const value of state.chosen[kind]) said.append(kind, value);
  if (state.query) said.set("q", state.query);
  if (state.selection !== selections[0]) said.set("selection", state.selection);
  if (state.sort) said.set("sort", state.sort);
  if (state.columns) said.set("columns", state.columns.join(","));
  if (state.record) said.set("record", state.record);
  history.replaceState(null, "", `#${said}`);
}

function matches(row) {
  const words = state.query.toLowerCase().split(/\s+/);
  return words.every((word) => row.words.includes(word))
    && KINDS.every((kind) => !state.chosen[kind].size || state.chosen[kind].has(row.story[kind]));
}

function showFilters() {
  document.getElementById("query").value = state.query;
  document.getElementById("selection").value = state.selection;
  for (const menu of document.querySelectorAll("[data-filter]")) {
    const chosen = state.chosen[menu.dataset.filter];
    for (const box of menu.querySelectorAll("input")) box.checked = chosen.has(box.value);
    const said = [...chosen];
    menu.querySelector(".chosen").textContent = said.length > 1 ? said.length : said[0] || "";
  }
}

// Calls `changed` after every change of a filter, and `reset` when all are taken back.
function listenToFilters(changed) {
  document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("query").addEventListener("input", (event) => {
    state.query = event.target.value;
    changed();
  });
  document.getElementById("selection").addEventListener("change", (event) => {
    state.selection = event.target.value;
    changed();
  });
  for (const menu of document.querySelectorAll("[data-filter]")) {
    menu.addEventListener("change", () => {
      const boxes = [...menu.querySelectorAll("input:checked")];
      state.chosen[menu.dataset.filter] = new Set(boxes.map((box) => box.value));
      changed();
    });
  }
  closeMenusElsewhere();
}

function closeMenusElsewhere() {
  const menus = [...document.querySelectorAll(".menu")];
  for (const menu of menus) {
    menu.addEventListener("toggle", () => { if (menu.open) menu.querySelector("fieldset").scrollIntoView({ block: "nearest" }); });
  }
  const close = (left) => menus.forEach((menu) => { if (left(menu)) menu.open = false; });
  document.addEventListener("click", ({ target }) => close((menu) => !menu.contains(target)));
  // A mouse that is pressed on a label puts the focus on what holds the menu: were the menu closed by that, the label
  // would be gone before the button is let go, and nothing chosen (Chromium even crashes).
  document.addEventListener("focusin", ({ target }) => close((menu) => !menu.contains(target) && !target.contains(menu)));
  document.addEventListener("keydown", (event) => {
    const menu = event.target.closest && event.target.closest(".menu[open]");
    if (event.key === "Escape" && menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
}
