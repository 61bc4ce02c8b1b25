// The table of results. A cell is built as a node, what it sorts by is a number or a word.
const PAGE = 25;
const UNKNOWN = -1e18;

// Numbers sort either way with those that are not known below.
const below = (a, b) => (a === UNKNOWN) - (b === UNKNOWN);
DataTable.ext.type.order["known-asc"] = (a, b) => below(a, b) || a - b;
DataTable.ext.type.order["known-desc"] = (a, b) => below(a, b) || b - a;

const number = (id, title, value, text, more = {}) => ({
  id, title, value: (row) => { const found = value(row); return found === null || found === undefined ? UNKNOWN : found; },
  node: (row) => document.createTextNode(text(value(row))), kind: "known", className: "n wide", ...more,
});
const word = (id, title, value, more = {}) => ({
  id, title, value: (row) => value(row).toLowerCase(), node: (row) => named(value(row)), kind: "string", className: "wide", ...more,
});
const share = (id, title, more = {}) => number(id, title, (row) => mean(row[id]), percent, more);

const ofHardPhotos = (id) => number(id, id, (row) => row.easy_hard && mean(row.easy_hard[id]), percent, { help: "class-averaged, of data sets of easy and hard photos" });

const ofMaps = (id, title, help) => number(`looks_${id}`, `looks: ${title}`, (row) => row.attention && row.attention[id][0][0], percent, { help: `${help}, groups counting the same`, node: (row) => looksCell(row, id), ofMaps: true });

const COLUMNS = [
  number("place", "", (row) => row.place, String, { always: false }),
  number("rank", "#", (row) => row.rank, String, { shown: true, className: "n", node: rankCell, help: "rank among methods of the same data set, backbone and supervision" }),
  word("method", "method", (row) => row.story.method, { shown: true, className: "name", node: methodCell }),
  word("dataset", "data set", (row) => row.story.dataset, { shown: true }),
  word("backbone", "backbone", (row) => row.story.backbone, { shown: true }),
  { ...number("track", "supervision", (row) => TRACKS.indexOf(row.story.track), String), shown: true, className: "wide", node: trackCell },
  number("wga", "WGA", (row) => mean(row.score), percent, { shown: true, className: "n", node: scoreCell }),
  number("interval", "interval", (row) => (bounds(row) || [null])[0], percent, { shown: true, className: "wide", node: intervalCell }),
  share("acc_test", "acc_test", { shown: true }),
  share("gap", "gap"),
  share("acc_train_weighted", "train-weighted"),
  share("balanced", "balanced"),
  word("worst", "worst group", (row) => worstGroup(row)),
  ofHardPhotos("easy"), ofHardPhotos("hard"), ofHardPhotos("drop"),
  share("calibration_error", "calibration error"),
  share("auroc", "AUROC"),
  ofMaps("aiou", "AIoU", "adjusted IoU of activation maps and objects, over thresholds"),
  ofMaps("pointing", "pointing", "how often the highest value of the map lies in the object"),
  ofMaps("energy", "energy", "share of the map that lies in the object"),
  number("detectable", "detectable", (row) => row.standing && row.standing.detectable, percent, { help: "the smallest difference from the best that would be found about three times out of four" }),
  share("oracle", "oracle (diagnostic)", { help: "chosen on test: a diagnostic, never ranked" }),
  number("seeds", "seeds", (row) => row.seeds, String, { node: (row) => document.createTextNode(seedsOf(row)) }),
  number("configs", "configs", (row) => row.configs, String, { shown: true, help: "configurations tried per seed" }),
  number("parameters", "parameters", (row) => row.parameters, count, { shown: true, help: "trained" }),
  number("seconds", "per seed", (row) => row.seconds, duration, { shown: true }),
  number("memory", "memory", (row) => row.memory, memory, { shown: true, help: "the most held at once" }),
  word("tier", "tier", (row) => row.story.tier),
  word("rules", "rules", (row) => row.story.rules),
];

function worstGroup(row) {
  const accuracy = ([, correct, total]) => correct / total;
  return row.groups.length ? row.groups.reduce((a, b) => (accuracy(b) < accuracy(a) ? b : a))[0] : "-";
}

function seedsOf(row) {
  if (hasMoreSeeds(row)) return `${row.seeds} of ${seedsDone(row.story)}`;
  return row.status === "complete" ? String(row.seeds) : `${row.seeds}/${row.seeds_expected}`;
}

function rankCell(row) {
  if (row.rank === null) return make("span", { class: "soft", title: `${row.status}: ${seedsOf(row)} seeds` }, "–");
  if (!row.leads) return document.createTextNode(row.rank);
  const [sign, said] = row.rank === 1 ? ["★", "best"] : ["≈", "not told apart from the best"];
  return make("span", {}, `${row.rank} `, make("span", { class: "tied", role: "img", "aria-label": said, title: said }, sign));
}

function methodCell(row) {
  const { method, title, dataset, backbone, track } = row.story;
  const where = make("span", { class: "under only-narrow where" }, named(dataset), " · ", named(backbone), ` · ${track}`);
  return make("span", {}, make("button", { type: "button", title, "aria-haspopup": "dialog" }, named(method)), where);
}

function trackCell(row) {
  return make("span", { class: trackClass(row.story.track) }, make("span", {}, row.story.track));
}

function scoreCell(row) {
  const hard = row.ranked_by === "hard" ? make("small", {}, "hard ") : null;
  return make("span", {}, hard, percent(mean(row.score)), make("span", { class: "under only-narrow" }, between(bounds(row))));
}

function intervalCell(row) {
  return make("span", { class: `spread ${slug(row.story.track)}` }, make("span", {}, between(bounds(row))), bar(row));
}

function looksCell(row, id) {
  if (!row.attention) return document.createTextNode("-");
  const [at, low, high] = row.attention[id][0];
  return make("span", {}, percent(at), make("small", { class: "soft" }, ` ${between([low, high])}`));
}

function makeTable(rows, opened, sorted) {
  const table = new DataTable("#table", {
    data: rows,
    columns: COLUMNS.map((column) => ({
      title: column.title,
      name: column.id,
      className: column.className,
      type: column.kind,
      visible: isShown(column),
      searchable: false,
      orderSequence: column.kind === "known" && column.id !== "rank" ? ["desc", "asc"] : ["asc", "desc"],
      data: null,
      render: (_, type, row) => (type === "display" ? column.node(row) : column.value(row)),
    })),
    order: [[0, "asc"]],
    autoWidth: false,
    pageLength: PAGE,
    lengthMenu: [PAGE, 100, { label: "all", value: -1 }],
    layout: { topStart: null, topEnd: null, bottomStart: ["info", "pageLength"], bottomEnd: "paging" },
    language: { lengthMenu: "rows on a page _MENU_", info: "_START_ to _END_ of _TOTAL_", infoFiltered: "(of _MAX_)", infoEmpty: "nothing", zeroRecords: "Nothing matches these filters.", emptyTable: "No records." },
    createdRow: (node, row) => { if (row.leads) node.classList.add("leads"); },
  });
  table.search.fixed("filters", (_, row) => matches(row));
  for (const [place, column] of COLUMNS.entries()) if (column.help) table.column(place).header().title = column.help;
  document.querySelector("#table").addEventListener("click", (event) => {
    const line = event.target.closest("tbody tr");
    const row = line && table.row(line).data();
    if (!row) return;
    line.querySelector("button").focus({ preventScroll: true });
    opened(row);
  });
  table.on("order", () => sorted(sortedBy(table)));
  table.on("draw", () => { scaleBars(table); markRepeated(table); });
  return table;
}

function scaleBars(table) {
  const [from, to] = span(table.rows({ page: "current" }).data().toArray());
  const node = table.table().node();
  node.style.setProperty("--from", from);
  node.style.setProperty("--to", to);
  const place = COLUMNS.findIndex(({ id }) => id === "interval");
  table.column(place).header().title = `of what a row is ranked by; bars are drawn from ${from} to ${to}`;
}

// A small screen names the place of a row once for all that follow it.
function markRepeated(table) {
  let before = null;
  table.rows({ page: "current", order: "applied", search: "applied" }).every(function mark() {
    const { dataset, backbone, track } = this.data().story;
    const where = JSON.stringify([dataset, backbone, track]);
    this.node().classList.toggle("again", where === before);
    before = where;
  });
}

const isShown = (column) => (state.columns ? state.columns.includes(column.id) : column.shown === true || state.shownToo.has(column.id));

// What the rows are sorted by, as it stands in the address; null for the board's own order.
function sortedBy(table) {
  const [[place, direction] = [0]] = table.order();
  return place ? `${COLUMNS[place].id}-${direction}` : null;
}

function sortTable(table) {
  const [id, direction] = (state.sort || "place-asc").split("-");
  const place = COLUMNS.findIndex((column) => column.id === id);
  table.order([[Math.max(place, 0), place > 0 && direction === "desc" ? "desc" : "asc"]]);
}

function makeColumnMenu(table, changed) {
  const box = document.querySelector("#columns fieldset");
  const looked = table.rows().data().toArray().some((row) => row.attention);
  for (const [place, column] of COLUMNS.entries()) {
    if (column.always === false || (column.ofMaps && !looked)) continue;
    const input = make("input", { type: "checkbox", value: column.id });
    input.addEventListener("change", () => {
      table.column(place).visible(input.checked);
      state.columns = COLUMNS.filter((_, other) => table.column(other).visible()).map(({ id }) => id);
      changed();
    });
    box.append(make("label", {}, input, ` ${column.title === "#" ? "rank" : column.title}`));
  }
}

function showColumns(table) {
  for (const [place, column] of COLUMNS.entries()) {
    if (table.column(place).visible() !== isShown(column)) table.column(place).visible(isShown(column), false);
  }
  for (const input of document.querySelectorAll("#columns input")) {
    input.checked = isShown(COLUMNS.find(({ id }) => id === input.value));
  }
}
