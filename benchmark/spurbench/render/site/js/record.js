// The story of one record, in a dialog.
const CHOSEN_BY = { worst_group: 0, worst_class: 1, average: 2 };

function grid(caption, headings, rows, words = 1) {
  const head = headings.map((heading, place) => make("th", { scope: "col", class: place < words ? null : "n" }, heading));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell, place) => make("td", { class: place < words ? null : "n" }, cell))));
  const table = make("table", {}, make("caption", { class: "sr" }, caption), make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table);
}

function pairs(entries) {
  const known = entries.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return make("dl", { class: "keys" }, ...known.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

const section = (title, ...children) => [make("h3", {}, title), ...children];

function numbersOf(row) {
  const shownFirst = [
    [row.ranked_by === "hard" ? "hard, class-averaged" : "WGA", withDeviation(row.score)],
    [`${100 * row.story.confidence} % interval`, between(bounds(row))],
    ...(row.easy_hard ? easyAndHard(row) : []),
    ["acc_test", withDeviation(row.acc_test)],
    ["gap", percent(mean(row.gap))],
    ["train-weighted", percent(mean(row.acc_train_weighted))],
    ["balanced", percent(mean(row.balanced))],
    ["calibration error", percent(mean(row.calibration_error))],
    ["AUROC", percent(mean(row.auroc))],
    ["oracle (diagnostic)", percent(mean(row.oracle))],
  ].filter(([, value]) => value !== "-");
  return make("dl", { class: "numbers" }, ...shownFirst.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

// Of a data set of easy and hard photos.
function easyAndHard(row) {
  const { easy, hard, drop, drop_low: low, drop_high: high } = row.easy_hard;
  const also = row.ranked_by === "hard" ? ["WGA", withDeviation(row.wga)] : ["hard, class-averaged", withDeviation(hard)];
  return [also, ["easy, class-averaged", withDeviation(easy)], ["drop", percent(mean(drop))], ["drop interval, by photos", between([low, high])]];
}

function standingOf(row) {
  if (row.rank === null) return make("p", {}, `Not ranked: ${row.status}, ${seedsOf(row)} seeds.`);
  const place = `Rank ${row.rank} among methods ${told(row.story.track)}.`;
  const found = row.standing;
  if (!found) return make("p", {}, place);
  const said = `${percent(found.difference, true)} points (${between([found.low, found.high])}, simultaneous over the track's comparisons by Bonferroni), ${chance(found.p)} adjusted by Holm; a difference of ${percent(found.detectable)} points would be found about three times out of four.`;
  return make("p", {}, place, found.tied ? " Not told apart from the best, " : " Told apart from the best, ", named(found.best), `: ${said}`);
}

function seedsTogether(row) {
  if (!hasMoreSeeds(row)) return `${row.seeds} seeds together`;
  return `the ${row.seeds} seeds that all methods of this table have, together; this record has ${seedsDone(row.story)}`;
}

function groupsOf(row) {
  if (!row.groups.length) return [];
  const least = Math.min(...row.groups.map(([, correct, total]) => correct / total));
  const lines = row.groups.map(([name, correct, total, low, high]) => [
    make("span", {}, named(name), correct / total === least ? make("small", {}, " worst") : null),
    (total / row.seeds).toLocaleString("en"),
    `${correct.toLocaleString("en")} / ${total.toLocaleString("en")}`,
    percent(correct / total),
    between([low, high]),
  ]);
  const note = make("p", { class: "soft small" }, `Correct: of ${seedsTogether(row)}. The interval is Wilson's for the mean over seeds, by the test examples only: it does not hold what seeds add.`);
  const table = grid("Accuracy of each group on test", ["group", "n", "correct / all seeds", "accuracy", "interval"], lines);
  table.classList.add("of-groups");
  return section("Groups", table, note);
}

// Where its models look: a table of means by group, and how the adjusted IoU changes with the threshold.
function looksOf(row) {
  const found = row.attention;
  if (!found) return [];
  const spread = ([at, low, high]) => `${percent(at)} (${between([low, high])})`;
  const names = ["all groups alike", ...found.groups];
  const lines = names.map((name, place) => [
    place ? named(name) : name,
    String(place ? found.photos[place - 1] : found.photos.reduce((a, b) => a + b)),
    ...["aiou", "pointing", "energy"].map((id) => spread(found[id][place])),
    place ? percent(found.area[place - 1]) : "",
  ]);
  const table = grid("Where the models look, by group", ["group", "photos", "AIoU", "pointing", "energy", "object's area"], lines);
  const blind = (id) => percent(found.centre[id].reduce((a, b) => a + b) / found.centre[id].length);
  const changed = found.changed ? ` ${found.changed} predictions of the models made again are not those of the record.` : "";
  const note = make("p", { class: "soft small" }, `${found.kind} at ${found.layer} of ${found.score}, objects by ${found.objects}, ${found.seeds === 1 ? "one model" : `${found.seeds} models`}. A map that is the same everywhere has the object's area for energy, and an AIoU of 50, which is no chance level. A blob in the middle has a pointing of ${blind("pointing")} and an energy of ${blind("energy")}.${changed}`);
  const curve = plot("Adjusted IoU at each threshold", {
    width: 420, height: 200, marginLeft: 48,
    x: { label: "threshold of the map →", domain: [0, 1] }, y: { label: "↑ AIoU (%)", grid: true, domain: [0, 100] },
    marks: [Plot.ruleY([50], { strokeOpacity: 0.4, strokeDasharray: "4 4" }), Plot.line(found.curve.map(([x, y]) => [x, points(y)]), { stroke: LOOK[row.story.track].fill, strokeWidth: 2 })],
  });
  return section("Where the models look", table, make("div", { class: "plot" }, curve), note);
}

function worstOf(row) {
  if (!row.worst || row.ranked_by !== "wga") return null;
  const { bias, corrected } = row.worst;
  const looks = `The worst of several groups looks worse than it is: bias ${percent(bias, true)}, corrected ${percent(corrected)}. `;
  return make("p", { class: "soft small" }, `${percent(bias) === "0.0" ? "" : looks}The interval is over test examples and seeds.`);
}

function triedOf(row) {
  const rule = CHOSEN_BY[state.selection];
  const blocks = row.story.seeds.filter((seed) => seed.configs).map((seed, number) => {
    const [chosen, snapshot] = seed.chosen[state.selection] || [-1];
    const lines = seed.configs.map(([config, snapshots, best, error], place) => [
      make("span", {}, named(config || "(no hyper-parameters)"), place === chosen ? make("b", {}, " chosen") : null, error ? make("small", { class: "wrong" }, ` ${error}`) : null),
      snapshots > 1 ? `${snapshots}${place === chosen ? `, no. ${snapshot}` : ""}` : "1",
      best ? percent(best[rule]) : "-",
    ]);
    const title = `Seed ${seed.seed}: ${seed.configs.length} tried, ${duration(seed.seconds)}, ${memory(seed.memory)}${hasMoreSeeds(row) && number >= row.seeds ? "; not shown on the board" : ""}`;
    return make("details", {}, make("summary", {}, title), grid(title, ["configuration", "snapshots", "on validation"], lines));
  });
  if (!blocks.length) return [];
  const note = make("p", { class: "soft small" }, `On validation: ${state.selection.replace("_", " ")} accuracy, the best of a configuration's snapshots, by which it is chosen${row.story.refit ? "; what is chosen is fitted once more" : ""}.`);
  return section("Configurations tried", note, ...blocks);
}

// The same failure of several seeds is said once.
function failuresOf(row) {
  const alike = new Map();
  for (const { seed, failure } of row.story.seeds.filter((each) => each.failure)) {
    const said = JSON.stringify(failure);
    if (!alike.has(said)) alike.set(said, { failure, seeds: [] });
    alike.get(said).seeds.push(seed);
  }
  const blocks = [...alike.values()].map(({ failure, seeds }) => {
    const title = `${seeds.length > 1 ? "Seeds" : "Seed"} ${seeds.join(", ")}: ${failure.message}`;
    return make("details", { open: "" }, make("summary", { class: "wrong" }, title), failure.traceback ? make("pre", {}, failure.traceback) : null);
  });
  return blocks.length ? section("Failed", ...blocks) : [];
}

function provenanceOf(story) {
  const environments = story.environments.map(([seeds, found]) => pairs([["seeds", seeds.join(", ")], ...Object.entries(found)]));
  const key = make("details", {}, make("summary", {}, "Key, and what it is made of"), pairs([["key", make("code", {}, story.key)], ...Object.entries(story.key_parts).map(([name, value]) => [name, make("code", {}, value)])]));
  const facts = pairs([["tier", story.tier], ["computed", story.updated], ["rules", story.rules], ["budget", `${story.budget[0]} seeds × ${story.budget[1]} configurations`], ["prompts", story.prompts]]);
  return section("Provenance", facts, ...environments, key);
}

function reproduce(story) {
  const button = make("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(story.command);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
    }
  });
  const note = make("p", { class: "soft small" }, "--results names a new folder: in one that holds this record, nothing would be computed again. A method, data set or backbone that does not come with spurbench needs --plugin too, with the file that it is in.");
  return section("How to reproduce it", make("pre", {}, story.command), button, note);
}

// The heading that has the focus, what stands below it, and a button that closes the dialog.
function topOf(title, ...below) {
  const close = make("button", { type: "button", "aria-label": "Close" }, "✕");
  close.addEventListener("click", () => close.closest("dialog").close());
  return make("div", { class: "top" }, make("div", {}, make("h2", { id: "record-title", tabindex: "-1" }, title), ...below), close);
}

function recordContent(row) {
  const { story } = row;
  const where = make("p", { class: "soft" }, named(story.dataset), " · ", named(story.backbone), " · ", make("span", { class: trackClass(story.track) }, make("span", {}, told(story.track))));
  const facts = pairs([["method", story.title], ["paper", story.paper], ["trains", story.trains], ["told", story.supervision.join(", ") || "nothing beyond classes"], ["trained parameters", row.parameters === null ? "" : row.parameters.toLocaleString("en")], ["per seed", row.seconds === null ? "" : duration(row.seconds)], ["memory", row.memory === null ? "" : memory(row.memory)]]);
  return [
    topOf(named(story.method), where),
    numbersOf(row), standingOf(row), worstOf(row), facts,
    ...failuresOf(row), ...groupsOf(row), ...looksOf(row), ...triedOf(row), ...reproduce(story), ...provenanceOf(story),
  ].filter(Boolean);
}

const openRecord = (row) => openDialog(recordContent(row));

// Of an address with a record that this page does not have.
const openMissing = (id) => openDialog([topOf("No such record"), make("p", {}, "This page has no record ", make("code", {}, named(id)), ". It may be of other rules, or of a newer page.")]);

function openDialog(content) {
  const dialog = document.getElementById("record");
  dialog.replaceChildren(...content);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  document.getElementById("record-title").focus({ preventScroll: true });
}

// A click beside the dialog closes it; `closed` is called however that came about.
function listenToRecord(closed) {
  const dialog = document.getElementById("record");
  dialog.addEventListener("close", closed);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}
