// What the page shows and how numbers are written. Everything that comes from a record reaches the page as text.
const TRACKS = ["none", "attribute text", "val groups", "train groups"];
const MINUS = "\u2212";

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}

// Every row of every selection rule, with its record's story, its place in the board and the words it is found by.
function rowsOf(data) {
  const made = {};
  for (const [selection, rows] of Object.entries(data.rows)) {
    made[selection] = rows.map((row, place) => {
      const story = data.records[row.record];
      const words = [story.method, story.title, story.dataset, story.backbone, story.track].join(" ").toLowerCase();
      const id = [story.rules, story.dataset, story.backbone, story.method].join("/");
      return { ...row, story, place, words, id };
    });
  }
  return made;
}

// A new element; strings among the children become text.
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// A name from anywhere: the direction it is written in ends with it.
const named = (text) => make("bdi", {}, text);

// Numbers are written as the tables for those without scripts have them: one half-way between two goes to the even one.
// Of multiples of 0.05, those that a binary number can be and that lie half-way are x.25 and x.75.
const tenths = (value) => ((4 * value) % 4 === 1 ? `${Math.floor(value)}.2` : value.toFixed(1));
const whole = (value) => String(value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));

// The first digits, of which there are more than one; a binary number's hundred digits tell whether it is half-way.
function significant(value, digits) {
  const [all, power] = value.toExponential(100).split("e");
  const kept = all.slice(0, digits + 1);
  const down = /^50*$/.test(all.slice(digits + 1)) && Number(kept.at(-1)) % 2 === 0;
  return Number(down ? `${kept}e${power}` : value.toPrecision(digits));
}

function percent(value, signed = false) {
  if (value === null || value === undefined) return "-";
  const said = tenths(Math.abs(100 * value));
  const sign = value < 0 && said !== "0.0" ? MINUS : signed ? "+" : "";
  return sign + said;
}

const chance = (p) => (p < 1e-4 ? "p < 0.0001" : `p = ${significant(p, 2)}`);
const mean = (estimate) => (estimate ? estimate[0] : null);

function withDeviation(estimate) {
  if (!estimate) return "-";
  return percent(estimate[0]) + (estimate[1] ? ` ± ${percent(estimate[1])}` : "");
}

// Over test examples and seeds where it is known, otherwise over seeds alone; null of one seed, or where all agree.
function bounds(row) {
  if (row.worst && row.ranked_by === "wga") return [row.worst.low, row.worst.high];
  const score = row.score;
  if (!score || score[2] === null || !score[1]) return null;
  return [Math.max(score[2], 0), Math.min(score[3], 1)];
}

const between = (pair) => (pair ? `${percent(pair[0])} to ${percent(pair[1])}` : "-");

function count(value) {
  if (value === null) return "-";
  for (const [size, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= 0.9995 * size) return `${significant(value / size, 3)}${letter}`;
  }
  return String(value);
}

function duration(value) {
  if (value === null || value === undefined) return "-";
  if (value >= 3600) return `${tenths(value / 3600)} h`;
  if (value >= 60) return `${tenths(value / 60)} min`;
  return `${value < 10 ? significant(value, 2) : whole(value)} s`;
}

function memory(value) {
  if (value === null || value === undefined) return "-";
  return value >= 2 ** 30 ? `${tenths(value / 2 ** 30)} GiB` : `${whole(value / 2 ** 20)} MiB`;
}

// What the bars of some rows are drawn on: tens of percent around all of their intervals.
function span(rows) {
  const ends = rows.filter((row) => row.score).flatMap((row) => [row.score[0], ...(bounds(row) || [])]);
  if (!ends.length) return [0, 100];
  const low = 10 * Math.floor(10 * Math.min(...ends));
  return [low, Math.max(10 * Math.ceil(10 * Math.max(...ends)), low + 10)];
}

function bar(row) {
  const found = bounds(row);
  if (!row.score) return null;
  const [low, high] = found || [row.score[0], row.score[0]];
  const [range, point] = [make("i"), make("b")];
  range.style.setProperty("--low", 100 * low);
  range.style.setProperty("--high", 100 * high);
  point.style.setProperty("--at", 100 * row.score[0]);
  return make("span", { class: "bar", "aria-hidden": "true" }, range, point);
}

// Fewer seeds than a record has are shown where another method of the table has no more.
const seedsDone = (story) => story.seeds.filter((seed) => seed.configs).length;
const hasMoreSeeds = (row) => row.status === "complete" && seedsDone(row.story) > row.seeds;
const told = (track) => (track === "none" ? "told nothing" : `told ${track}`);
const slug = (track) => track.replace(" ", "-");
const trackClass = (track) => `told ${slug(track)}`;
