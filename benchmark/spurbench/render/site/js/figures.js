// Figures of what the filters leave, drawn when the page has nothing else to do. A key stands in the drawing, so that it is saved.
const LOOK = {
  none: { fill: "#3d8fd1", symbol: "circle" },
  "attribute text": { fill: "#c68a12", symbol: "square" },
  "val groups": { fill: "#17a07a", symbol: "triangle" },
  "train groups": { fill: "#c061a0", symbol: "diamond" },
};
const GROUP_COLOURS = ["#3d8fd1", "#d9663f", "#17a07a", "#c68a12", "#8f6fd0", "#c061a0", "#6f8f3a", "#7a7f87"];
const COSTS = { seconds: "seconds per seed", parameters: "trained parameters", memory: "peak memory (MiB)" };
const points = (share) => 100 * share;

// Marks of a key between the drawing's frame and what stands on top of it, as wide as it may be; and the room it takes.
function keyOf(items, width, above = 20) {
  const placed = [];
  let [x, line] = [0, 0];
  for (const item of items) {
    const room = 24 + 6.3 * item.label.length;
    if (x && x + room > width) [x, line] = [0, line + 1];
    placed.push({ item, x, line });
    x += room;
  }
  const marks = placed.flatMap(({ item: { label, fill, symbol = "circle" }, x, line: own }) => {
    const at = { frameAnchor: "top-left", dy: -16 - 16 * (line - own) };
    const dot = Plot.dot([0], { ...at, dx: x + 5, fill, symbol, r: 4.5 });
    return [dot, Plot.text([label], { ...at, dx: x + 14, textAnchor: "start", lineAnchor: "middle" })];
  });
  return { marks, room: 28 + above + 16 * line };
}

const tracksOf = (rows) => TRACKS.filter((track) => rows.some((row) => row.story.track === track));
const trackKey = (rows, width) => keyOf(tracksOf(rows).map((track) => ({ label: told(track), ...LOOK[track] })), width);
const leftFor = (labels) => Math.min(190, 24 + 6.4 * Math.max(0, ...labels.map((label) => label.length)));

function plot(label, options) {
  const drawn = Plot.plot({ ariaLabel: label, style: { background: "transparent" }, ...options });
  drawn.setAttribute("role", "img");
  return drawn;
}

// Accuracy of each group, a line for each method; groups of more than eight are told apart by a tip alone.
function drawGroups({ rows, width }) {
  const known = rows.filter((row) => row.groups.length);
  const names = [...new Set(known.flatMap((row) => row.groups.map(([name]) => name)))];
  const few = names.length <= GROUP_COLOURS.length;
  const dots = known.flatMap((row) => row.groups.map(([name, correct, total, low, high]) => ({ row, name, accuracy: points(correct / total), text: `${name}\n${percent(correct / total)} (${between([low, high])}), n = ${total / row.seeds}` })));
  const heads = tracksOf(known);
  const domain = heads.flatMap((track) => [`#${track}`, ...known.filter((row) => row.story.track === track).map((row) => row.id)]);
  const labels = new Map(known.map((row) => [row.id, row.story.method]));
  const key = few ? keyOf(names.map((label, place) => ({ label, fill: GROUP_COLOURS[place] })), width - 220, 0) : { marks: [], room: 20 };
  const fill = few ? (dot) => GROUP_COLOURS[names.indexOf(dot.name)] : "#3d8fd1";
  const drawn = plot("Accuracy of each group, by method", {
    width, height: key.room + 40 + 20 * domain.length, marginTop: key.room, marginLeft: leftFor([...labels.values(), ...heads]),
    x: { label: "accuracy on test (%) →", grid: true, domain: [Math.min(50, ...dots.map((dot) => dot.accuracy - 2)), 100] },
    y: { type: "point", domain, label: null, tickSize: 0, tickFormat: (id) => labels.get(id) || "" },
    marks: [
      Plot.text(heads, { y: (track) => `#${track}`, frameAnchor: "left", dx: -leftFor([...labels.values(), ...heads]) + 4, textAnchor: "start", fontWeight: 600, text: told }),
      Plot.ruleY(known, { y: "id", x1: (row) => Math.min(...row.groups.map((g) => points(g[1] / g[2]))), x2: (row) => Math.max(...row.groups.map((g) => points(g[1] / g[2]))), strokeOpacity: 0.3 }),
      Plot.dot(dots, { x: "accuracy", y: (dot) => dot.row.id, fill, fillOpacity: few ? 0.95 : 0.35, r: few ? 4.5 : 3 }),
      Plot.tip(dots, Plot.pointer({ x: "accuracy", y: (dot) => dot.row.id, title: (dot) => `${dot.row.story.method}\n${dot.text}` })),
      ...key.marks,
    ],
  });
  return { drawn, caption: few ? "Each dot is a group on the test split, all seeds together." : `Each dot is one of ${names.length} groups on the test split, all seeds together.` };
}

const trackDots = (rows, x, y) => tracksOf(rows).map((track) => Plot.dot(rows.filter((row) => row.story.track === track), { x, y, ...LOOK[track], r: 5, stroke: "var(--plot-background)", strokeWidth: 0.7 }));
// All methods are named where there is room for it, otherwise the best ones; on the left of points far right.
function names(rows, x, y, width, along = (value) => value) {
  const [low, high] = d3.extent(rows, (row) => along(x(row)));
  const right = (row) => along(x(row)) > low + 0.65 * (high - low);
  const shown = rows.filter((row) => row.rank === 1 || 40 * rows.length < width);
  const text = { x, y, text: (row) => row.story.method, fillOpacity: 0.85 };
  return [
    Plot.text(shown.filter((row) => !right(row)), { ...text, dx: 8, textAnchor: "start" }),
    Plot.text(shown.filter(right), { ...text, dx: -8, textAnchor: "end" }),
  ];
}

// Of a logarithmic axis, which has more ticks than room.
const decade = (value) => (/^[125]/.test(value.toExponential()) ? (value < 1000 ? String(value) : d3.format("~s")(value)) : "");

// Worst-group against average accuracy; on the diagonal no group is worse than another.
function drawAverage({ rows, width }) {
  const known = rows.filter((row) => row.wga && row.acc_test);
  const key = trackKey(known, width - 80);
  const [x, y] = [(row) => points(row.acc_test[0]), (row) => points(row.wga[0])];
  const spread = known.filter((row) => bounds(row) && row.ranked_by === "wga");
  const least = Math.min(90, ...known.map(x)) - 2;
  const most = Math.min(100, Math.max(...known.map(x)) + 2);
  const drawn = plot("Worst-group accuracy against average accuracy", {
    width, height: Math.min(440, 0.8 * width) + key.room, marginTop: key.room, marginRight: 24,
    x: { label: "acc_test (%) →", grid: true, domain: [least, most] }, y: { label: "↑ worst-group accuracy (%)", grid: true, nice: true },
    marks: [
      Plot.line([[least, least], [most, most]], { strokeOpacity: 0.35, strokeDasharray: "4 4" }),
      Plot.ruleX(spread, { x, y1: (row) => points(bounds(row)[0]), y2: (row) => points(bounds(row)[1]), strokeOpacity: 0.35 }),
      ...trackDots(known, x, y), ...names(known, x, y, width),
      Plot.tip(known, Plot.pointer({ x, y, title: (row) => `${row.story.method}\nWGA ${percent(row.wga[0])} (${between(bounds(row))})\nacc_test ${percent(row.acc_test[0])}` })),
      ...key.marks,
    ],
  });
  return { drawn, caption: "On the dashed line no group is worse than the average. Bars: interval of WGA." };
}

// Rows that no other of their track beats in both: cheaper or as cheap, and better.
function frontOf(rows, cost) {
  const front = [];
  for (const row of [...rows].sort((a, b) => cost(a) - cost(b) || b.score[0] - a.score[0])) {
    if (!front.length || row.score[0] > front[front.length - 1].score[0]) front.push(row);
  }
  return front;
}

function drawCost({ rows, width, choice }) {
  const cost = (row) => (choice === "memory" ? row.memory / 2 ** 20 : row[choice]);
  const all = rows.filter((row) => row.score && row[choice] !== null);
  const known = all.filter((row) => cost(row) > 0);
  const y = (row) => points(row.score[0]);
  const key = trackKey(known, width - 80);
  const fronts = tracksOf(known).map((track) => [track, frontOf(known.filter((row) => row.story.track === track), cost)]);
  const measure = known.some((row) => row.ranked_by === "hard") ? "accuracy on hard photos" : "worst-group accuracy";
  const drawn = plot(`${measure} against ${COSTS[choice]}`, {
    width, height: Math.min(440, 0.8 * width) + key.room, marginTop: key.room, marginRight: 24,
    x: { type: "log", label: `${COSTS[choice]} →`, grid: true, nice: true, ticks: 5, tickFormat: decade }, y: { label: `↑ ${measure} (%)`, grid: true, nice: true },
    marks: [
      ...fronts.map(([track, front]) => Plot.line(front, { x: cost, y, curve: "step-after", stroke: LOOK[track].fill, strokeOpacity: 0.6 })),
      ...trackDots(known, cost, y), ...names(known, cost, y, width, Math.log),
      Plot.tip(known, Plot.pointer({ x: cost, y, title: (row) => `${row.story.method}\n${measure} ${percent(row.score[0])}\n${duration(row.seconds)} per seed, ${count(row.parameters)} parameters, ${memory(row.memory)}` })),
      ...key.marks,
    ],
  });
  const free = all.length - known.length;
  return { drawn, caption: `The line is each kind of supervision's Pareto front: nothing cheaper is better.${free ? ` Not shown, for it costs nothing: ${free}.` : ""}` };
}

// Mean ranks with their intervals; bars on the right join methods that are not told apart (Demsar 2006).
function drawRanks({ ranking, width }) {
  const { methods, groups, critical } = ranking;
  const joined = groups.filter((group) => group.length > 1);
  const left = leftFor(methods);
  const top = Math.max(methods.length, ...ranking.high);
  const few = ranking.datasets < 3;
  const shown = critical !== null && !few;
  const domain = shown ? ["", ...methods] : methods;
  const interval = (place) => (few ? "too few data sets for an interval" : `${ranking.low[place].toFixed(2)} to ${ranking.high[place].toFixed(2)}`);
  const drawn = plot("Mean ranks with intervals", {
    width, height: 60 + 22 * domain.length, marginLeft: left, marginRight: 24 + 9 * joined.length,
    x: { label: "mean rank, 1 is best →", grid: true, domain: [1, top] }, y: { type: "point", domain, label: null, tickSize: 0 },
    marks: [
      shown ? Plot.ruleY([0], { y: () => "", x1: ranking.mean[0], x2: Math.min(top, ranking.mean[0] + critical), strokeWidth: 2 }) : null,
      shown ? Plot.text([0], { y: () => "", x: ranking.mean[0], text: () => `critical difference ${critical.toFixed(2)}`, dy: -8, textAnchor: "start" }) : null,
      few ? null : Plot.ruleY(methods, { y: (method) => method, x1: (_, place) => ranking.low[place], x2: (_, place) => ranking.high[place], strokeOpacity: 0.5, strokeWidth: 2 }),
      Plot.dot(methods, { y: (method) => method, x: (_, place) => ranking.mean[place], r: 5, ...LOOK[ranking.track] }),
      Plot.tip(methods, Plot.pointerY({ y: (method) => method, x: (_, place) => ranking.mean[place], title: (method, place) => `${method}\nmean rank ${ranking.mean[place].toFixed(2)} (${interval(place)})` })),
      ...joined.map((group, place) => Plot.ruleY([0], { y: () => methods[group[0]], x1: top, x2: top, dx: 12 + 9 * place })),
      ...joined.map((group, place) => Plot.link([0], { x1: top, x2: top, y1: () => methods[group[0]], y2: () => methods[group[group.length - 1]], dx: 12 + 9 * place, strokeWidth: 3, strokeLinecap: "round" })),
    ],
  });
  const p = ranking.friedman === null ? "" : ` That all are alike (Friedman): ${chance(ranking.friedman)}.`;
  const missing = ranking.incomplete.length ? ` Not ranked, for tables are missing: ${ranking.incomplete.map(([method, n]) => `${method} (${n}/${ranking.tables})`).join(", ")}.` : "";
  return { drawn, caption: `Over ${ranking.tables} tables of ${ranking.datasets} data set${ranking.datasets === 1 ? "" : "s"}. ${few ? "Too few data sets for an interval." : "Intervals and the critical difference are between data sets: backbones of one count once."} Methods joined by a bar on the right are not told apart${few ? "" : ", likewise between data sets"}.${p}${missing}` };
}

function drawRobustness({ found, width }) {
  const look = { clip: { label: "CLIP, zero-shot", fill: "#3d8fd1" }, supervised: { label: "ImageNet, supervised", fill: "#d9663f", symbol: "square" } };
  const [own, printed] = [found.points.filter((point) => point.own), found.points.filter((point) => !point.own)];
  const key = keyOf(Object.entries(look).filter(([family]) => found.points.some((point) => point.family === family)).map(([, item]) => item), width - 60);
  const dots = (some, options) => Object.entries(look).map(([family, { fill, symbol = "circle" }]) => Plot.dot(some.filter((point) => point.family === family), { x: "easy", y: "hard", symbol, ...options(fill) }));
  const drawn = plot("Hard against easy accuracy", {
    width, height: Math.min(460, 0.85 * width) + key.room, marginTop: key.room,
    x: { label: "easy accuracy (%) →", grid: true }, y: { label: "↑ hard accuracy (%)", grid: true },
    marks: [
      ...found.fits.map((fit) => Plot.line(fit.ends, { stroke: look[fit.family].fill, strokeOpacity: 0.6, strokeDasharray: fit.name.includes("own") ? null : "5 4" })),
      ...dots(printed, (stroke) => ({ stroke, strokeWidth: 1.6, r: 4.5, strokeOpacity: (point) => (point.note ? 0.4 : 1) })),
      ...dots(own, (fill) => ({ fill, r: 5 })),
      Plot.tip(found.points, Plot.pointer({ x: "easy", y: "hard", title: (point) => `${point.name}${point.own ? "" : ", published"}\neasy ${point.easy.toFixed(2)}, hard ${point.hard.toFixed(2)}${point.effective === null ? "" : `\neffective robustness ${point.effective.toFixed(2)}`}${point.note ? `\ndoubtful: ${point.note}` : ""}` })),
      ...key.marks,
    ],
  });
  return { drawn, caption: "Filled: own records; hollow: published, pale where doubtful. Effective robustness: points above the line of supervised models." };
}
