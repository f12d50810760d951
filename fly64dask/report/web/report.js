// Draws maps, pictures, curves and tables from the content that the page carries (`fly64dask schema report`). What
// comes from a run is only ever set as text, and nothing is drawn before somebody can see it.


const RUN = JSON.parse(document.getElementById("data").textContent);
const SIGNS = RUN.state_signs;
const SVG = "http://www.w3.org/2000/svg";
// Colours of the style sheet, which has others for a dark page.
const INKS = [0, 1, 2, 3, 4, 5].map((i) => `var(--ink${i})`);
const PICTURES = {
  phase: "phase", phase_truth: "phase of the truth", phase_difference: "phase minus truth",
  amplitude: "amplitude", amplitude_truth: "amplitude of the truth", amplitude_difference: "amplitude minus truth",
  half_difference: "phase between the two half sets", illumination: "illumination of the object, and kept positions",
  probe_amplitude: "probe amplitude, all modes", probe_phase: "probe phase, first mode",
};
// What a scan that was measured cannot have.
const MEASURED = RUN.provenance.study.source.kind === "measured";
const OF_TRUTH = ["phase_truth", "phase_difference", "amplitude_truth", "amplitude_difference"];
const TITLES = { ...PICTURES, mean_pattern: "mean pattern of all exposures" };
const CHARTS = [
  { title: "Loss", keys: { loss: "loss" }, x: "epoch", y: "loss (the engine's own)" },
  { title: "Validation", keys: { validation: "validation" }, x: "epoch", y: "stopping criterion" },
  {
    title: "Fourier ring correlation", x: "spatial frequency (cycles/px)", y: "correlation", low: -0.2, high: 1.05,
    keys: {
      frc_truth: "with the truth", frc_empty: "empty object with the truth", frc_halves: "between half sets", frc_reference: "with the reference",
      half_bit: "half a bit a pixel", one_bit: "a bit a pixel",
    },
  },
];
const THRESHOLD_LOOKS = { half_bit: { grey: true, dash: 0 }, one_bit: { grey: true, dash: 1 } };
const PREDICTIONS = ["well_determined", "marginal", "underdetermined"];
const ERROR = "metrics.phase_rmse_rad", EMPTY = "metrics.empty_phase_rmse_rad";
const RESOLUTION = "half_sets.resolution_px", RESOLUTION_NM = "half_sets.resolution_nm";
const HALF_BIT = "half_sets.half_bit.frequency_per_px";
// Thresholds of ring correlations, and the numbers that say where each curve crosses them.
const CRITERIA = [["half_bit", "half a bit"], ["one_bit", "a bit"]];
const CROSSING = [["frc_halves", "half_sets"], ["frc_truth", "metrics.frc"], ["frc_reference", "reference"]];
const DATA = "identifiability.lit_intensities_per_unknown";
const MANY_CELLS = 150;
const ARROW_STEPS = 40; // of an arrow key, from one end of a curve to the other
const ON_PAPER = 8; // columns of all cells, as report.css has it

const byId = (id) => document.getElementById(id);
const cellByName = new Map(RUN.cells.map((cell) => [cell.name, cell]));
const quantityByKey = new Map(RUN.quantities.map((one) => [one.key, one]));

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function drawn(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function significant(value, digits = 3) {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const text = value.toPrecision(digits);
  return text.includes("e") ? value.toExponential(digits - 1) : text;
}

const shortDose = (name) => {
  const photons = name.replace(/^dose_/, "");
  return Number.isInteger(Number(photons)) || Number.isNaN(Number(photons)) ? photons : Number(photons).toPrecision(4);
};
const withUnit = (text, unit) => (unit ? `${text} (${unit})` : text);

// ---- what appears on hovering, and on focus ----------------------------------------------------------------------
function explain(target, words) {
  const show = (x, y) => {
    const tip = byId("tip");
    tip.textContent = words();
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 8))}px`;
    tip.style.top = `${y + 18 + height > innerHeight ? Math.max(4, y - height - 10) : y + 18}px`;
  };
  target.addEventListener("mousemove", (event) => show(event.clientX, event.clientY));
  target.addEventListener("focus", () => {
    const box = target.getBoundingClientRect();
    show(box.left, box.bottom - 10);
  });
  for (const name of ["mouseleave", "blur"]) target.addEventListener(name, () => { byId("tip").hidden = true; });
}

// What waits to be seen; paper shows all of it.
const unseen = new Map();

function whenSeen(target, draw) {
  const watcher = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) see(); }, { rootMargin: "200px" });
  const see = () => {
    watcher.disconnect();
    unseen.delete(target);
    draw(target);
  };
  unseen.set(target, see);
  watcher.observe(target);
}

addEventListener("beforeprint", () => { for (const see of [...unseen.values()]) see(); });
addEventListener("keydown", ({ key }) => { if (key === "Escape") byId("tip").hidden = true; });

// ---- colours -----------------------------------------------------------------------------------------------------
function colourOf(share, name) {
  const colours = RUN.colours[name];
  return colours[Math.round(Math.min(1, Math.max(0, share)) * (colours.length - 1))];
}

// Black and white have the same contrast, 4.58, on a ground of this relative luminance (WCAG 2.2).
const INK_LUMINANCE = 0.179;

function inkOn(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > INK_LUMINANCE ? "#000" : "#fff";
}

const label = (value) => (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3) ? Number(value.toPrecision(3)).toExponential() : String(Number(value.toPrecision(4))));

function ticks(low, high, most = 5) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) found.push(i * step);
  return found.map((value) => Number(value.toPrecision(10)));
}

function colourKey({ low, high, colours, unit, log }) {
  const box = element("div", undefined, "key");
  const svg = drawn("svg", { width: 220, height: 30, viewBox: "0 0 220 30", role: "img", "aria-label": `colours from ${label(low)} to ${label(high)}` });
  const steps = 60;
  for (let i = 0; i < steps; i += 1) {
    svg.append(drawn("rect", { x: 10 + (i * 200) / steps, y: 0, width: 200 / steps + 0.6, height: 10, fill: colourOf((i + 0.5) / steps, colours) }));
  }
  const at = log ? [low, Math.sqrt(low * high), high].map((value) => Number(value.toPrecision(2))) : ticks(low, high, 4).length > 1 ? ticks(low, high, 4) : [low, high];
  at.forEach((value) => {
    const share = log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    const x = 10 + 200 * share;
    const anchor = x < 25 ? "start" : x > 195 ? "end" : "middle";
    svg.append(drawn("line", { x1: x, x2: x, y1: 10, y2: 14, class: "axis" }));
    svg.append(drawn("text", { x, y: 26, "text-anchor": anchor }, label(value)));
  });
  box.append(svg, unit || "");
  return box;
}

// ---- matrix ------------------------------------------------------------------------------------------------------
// A study may repeat a cell with other photons: its repeats share one place in the matrix. A recipe and an object of
// several are a section of their own.
const keyOf = (...parts) => JSON.stringify(parts);
const placeByKey = new Map(RUN.places.map((place) => [keyOf(place.dose, place.view, place.split, place.section), place]));
const placeOf = (dose, view, split, section) => placeByKey.get(keyOf(dose, view, split, section));
const titled = (title, section) => (section ? `${title}, ${section}` : title);
const cellsOf = (place) => place.cells.map((name) => cellByName.get(name));

function spreadOf(place, key) {
  if (place.numbers[key]) return place.numbers[key];
  const cell = cellsOf(place).find((one) => one.numbers[key] !== undefined);
  return cell && { n: 1, mean: cell.numbers[key] };
}

function rangeOf(key) {
  const found = RUN.places.map((place) => spreadOf(place, key)).filter(Boolean).map((one) => one.mean);
  if (!found.length) return undefined;
  const [low, high] = [Math.min(...found), Math.max(...found)];
  const log = low > 0 && high / low > 50;
  // What differs in the last digits alone has no scale of its own.
  if (high - low > 1e-9 * Math.max(Math.abs(low), Math.abs(high))) return { low, high, log };
  const room = Math.abs(low) * 0.5 || 1;
  return { low: low - room, high: high + room, log: false };
}

const shareOf = (value, { low, high, log }) =>
  (log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));

function wordsOf(place, quantity) {
  const cells = cellsOf(place);
  const found = spreadOf(place, quantity.key);
  const lines = [titled(`${place.dose}/${place.view}/${place.split}`, place.section)];
  if (!found) {
    lines.push(`${quantity.label}: not computed`);
  } else {
    const spread = found.standard_deviation === undefined ? "" : ` ± ${significant(found.standard_deviation)}`;
    lines.push(`${quantity.label}: ${significant(found.mean, 5)}${spread}${quantity.unit ? ` ${quantity.unit}` : ""}`);
    if (found.n > 1) {
      const values = cells.map((cell) => cell.numbers[quantity.key]).filter((value) => value !== undefined);
      lines.push(`mean ± standard deviation of ${found.n} repeats: ${values.map((value) => significant(value)).join(", ")}`);
    }
  }
  for (const cell of cells) {
    if (cell.state !== "completed") lines.push(`${cells.length > 1 ? `${cell.name} ` : ""}${cell.state}${cell.kind ? `, ${cell.kind}` : ""}`);
  }
  for (const mark of RUN.marks) if (place.marks.includes(mark.sign)) lines.push(`${mark.sign}: ${mark.words}`);
  for (const cell of cells) lines.push(...cell.caveats.map((caveat) => `${cells.length > 1 ? `${cell.name}: ` : ""}${caveat}`));
  if (cells[0].prediction) lines.push(`predicted ${cells[0].prediction.replace("_", " ")}`);
  if (cells[0].numbers.n_kept !== undefined) lines.push(`${cells[0].numbers.n_kept} exposures kept`);
  return lines.join("\n");
}

function heatButton(place, quantity, range, small) {
  const button = element("button");
  button.type = "button";
  const found = spreadOf(place, quantity.key);
  const first = cellsOf(place).find((cell) => cell.state !== "completed") || cellsOf(place)[0];
  if (found) {
    const colour = colourOf(shareOf(found.mean, range), "viridis");
    button.style.backgroundColor = colour;
    button.style.color = inkOn(colour);
    const spread = found.standard_deviation === undefined || small ? "" : ` ± ${significant(found.standard_deviation, 2)}`;
    button.textContent = [significant(found.mean) + spread, ...place.marks].join(" ");
  } else {
    button.className = `none ${first.state}`;
    button.textContent = [`${SIGNS[first.state]}${small || first.state === "completed" ? "" : ` ${first.kind || first.state}`}`, ...place.marks].join(" ");
  }
  button.dataset.cell = place.cells[0];
  button.setAttribute("aria-label", `${button.textContent}: ${wordsOf(place, quantity)}`);
  explain(button, () => wordsOf(place, quantity));
  button.addEventListener("click", () => choose(place.cells[0], true));
  return button;
}

function heatMap(quantity, split, section, range, small) {
  const box = element("div", undefined, "map");
  box.append(element("h3", titled(split, section)));
  const table = element("table", undefined, small ? "heat small" : "heat");
  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", `${quantity.label}, ${titled(split, section)}`);
  table.createTHead().append(headRow([withUnit("dose", RUN.dose_unit), ...RUN.views]));
  const body = table.createTBody();
  const buttons = RUN.doses.map((dose) => RUN.views.map((view) => {
    // A run may have added a dose to other views alone.
    const place = placeOf(dose, view, split, section);
    return place ? heatButton(place, quantity, range, small) : null;
  }));
  RUN.doses.forEach((dose, i) => {
    const row = element("tr");
    row.append(heading(shortDose(dose), "row"));
    for (const button of buttons[i]) {
      const td = element("td");
      if (button) td.append(button);
      row.append(td);
    }
    body.append(row);
  });
  walkable(table, () => buttons);
  const scroll = element("div", undefined, "scroll");
  scroll.append(table);
  box.append(scroll);
  return box;
}

function legendOfMarks() {
  const box = element("ul", undefined, "marks faint");
  box.append(...RUN.marks.map((mark) => {
    const item = element("li");
    item.append(element("strong", mark.sign), mark.words);
    return item;
  }));
  return box;
}

function showMaps(target, quantity, small) {
  const range = rangeOf(quantity.key);
  // One row of maps for each section, so that recipes and objects stand below each other.
  target.replaceChildren(...RUN.sections.map((section) => {
    const maps = element("div", undefined, "maps");
    maps.append(...RUN.splits.map((split) => heatMap(quantity, split, section, range, small)));
    return maps;
  }));
  if (range) target.append(colourKey({ ...range, colours: "viridis", unit: withUnit(quantity.label, quantity.unit) }));
  if (!small || target === byId("heat")) target.append(legendOfMarks());
}

function showMatrix() {
  const select = byId("quantity");
  if (!RUN.quantities.length) {
    byId("heat").replaceChildren(element("p", "No cell has a number yet.", "faint"));
    byId("all").hidden = select.parentElement.hidden = true;
    return;
  }
  select.append(...RUN.quantities.map((one) => new Option(withUnit(one.label, one.unit), one.key)));
  const show = () => {
    const quantity = quantityByKey.get(select.value);
    byId("better").textContent = quantity.better ? `${quantity.better} is better` : "";
    showMaps(byId("heat"), quantity, RUN.cells.length > MANY_CELLS);
  };
  select.addEventListener("change", show);
  show();
  byId("all").addEventListener("toggle", () => {
    if (byId("allmaps").childElementCount) return;
    for (const one of RUN.quantities) {
      const box = element("div");
      box.append(element("h3", withUnit(one.label, one.unit)));
      const maps = element("div");
      box.append(maps);
      byId("allmaps").append(box);
      whenSeen(maps, (target) => showMaps(target, one, true));
    }
  });
}

// ---- charts ------------------------------------------------------------------------------------------------------
function chart({ title, x, y, series, low, high, level, logX = false, logY = false, marks = [] }) {
  const [W, H, left, right, top, bottom] = [420, 250, 58, 12, 10, 40];
  const xs = series.flatMap((one) => one.x), ys = series.flatMap((one) => one.y).filter((value) => value !== null);
  let [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  let [y0, y1] = [low ?? Math.min(...ys, level ?? Infinity), high ?? Math.max(...ys, level ?? -Infinity)];
  if (logX) [x0, x1] = [x0 / 1.15, x1 * 1.15];
  if (logY) [y0, y1] = [y0 / 1.15, y1 * 1.15];
  if (x0 === x1) [x0, x1] = logX ? [x0 / 2, x1 * 2] : [x0 - 0.5, x1 + 0.5];
  if (y0 === y1) [y0, y1] = logY ? [y0 / 2, y1 * 2] : [y0 - Math.abs(y0 || 1) / 2, y1 + Math.abs(y1 || 1) / 2];
  if (low === undefined && !logY) [y0, y1] = [y0 - 0.04 * (y1 - y0), y1 + 0.04 * (y1 - y0)];
  const place = (value, a, b, log) => (log ? Math.log(value / a) / Math.log(b / a) : (value - a) / (b - a));
  const px = (value) => left + (W - left - right) * place(value, x0, x1, logX);
  const py = (value) => H - bottom - (H - top - bottom) * place(value, y0, y1, logY);
  const name = `${title}: ${series.map((one) => one.name).join(", ")}; ${y} over ${x}`;
  const svg = drawn("svg", { viewBox: `0 0 ${W} ${H}`, role: series.some((one) => one.names) ? "group" : "img", "aria-label": name });
  const dots = [];
  for (const value of logX ? decades(x0, x1) : ticks(x0, x1)) {
    svg.append(drawn("line", { x1: px(value), x2: px(value), y1: top, y2: H - bottom, class: "grid" }));
    svg.append(drawn("text", { x: px(value), y: H - bottom + 14, "text-anchor": "middle" }, label(value)));
  }
  for (const value of logY ? decades(y0, y1) : ticks(y0, y1)) {
    svg.append(drawn("line", { x1: left, x2: W - right, y1: py(value), y2: py(value), class: "grid" }));
    svg.append(drawn("text", { x: left - 5, y: py(value) + 4, "text-anchor": "end" }, label(value)));
  }
  svg.append(drawn("path", { d: `M${left},${top}V${H - bottom}H${W - right}`, class: "axis" }));
  svg.append(drawn("text", { x: (left + W - right) / 2, y: H - 6, "text-anchor": "middle" }, x));
  svg.append(drawn("text", { x: 12, y: (top + H - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(top + H - bottom) / 2})` }, y));
  for (const { value, name } of marks) {
    if (value < x0 || value > x1) continue;
    svg.append(drawn("line", { x1: px(value), x2: px(value), y1: top, y2: H - bottom, class: "axis", "stroke-dasharray": "4 3" }));
    const isLeft = px(value) < (left + W - right) / 2;
    svg.append(drawn("text", { x: px(value) + (isLeft ? 4 : -4), y: top + 11, "text-anchor": isLeft ? "start" : "end" }, name));
  }
  if (level !== undefined) svg.append(drawn("line", { x1: left, x2: W - right, y1: py(level), y2: py(level), class: "axis", "stroke-dasharray": "4 3" }));
  series.forEach((one, i) => {
    const points = one.x.map((value, k) => [px(value), one.y[k] === null ? null : py(one.y[k]), k]).filter(([, at]) => at !== null);
    if (one.dots) {
      for (const [cx, cy, k] of points) {
        const dot = drawn("circle", { cx, cy, r: 5, fill: INKS[one.ink ?? i], "fill-opacity": 0.75, class: "dot" });
        pressable(dot, one.words[k], () => choose(one.names[k], true));
        svg.append(dot);
        dots.push([cx, dot]);
      }
    } else {
      const d = points.map(([a, b], k) => `${k ? "L" : "M"}${a.toFixed(1)},${b.toFixed(1)}`).join("");
      svg.append(drawn("path", { d, class: "line", stroke: strokeOf(one, i), "stroke-dasharray": DASHES[(one.dash ?? i) % DASHES.length] }));
    }
  });
  const fromLeft = dots.sort(([a], [b]) => a - b).map(([, dot]) => dot);
  walkable(svg, () => [fromLeft]);
  if (series.some((one) => !one.dots)) followPointer(svg, series, { left, right, W, x0, x1, x });
  return svg;
}

function followPointer(svg, series, { left, right, W, x0, x1, x }) {
  let at = x0;
  svg.addEventListener("mousemove", (event) => {
    const box = svg.getBoundingClientRect();
    at = x0 + (((event.clientX - box.left) * W) / box.width - left) / (W - left - right) * (x1 - x0);
  }, true);
  svg.setAttribute("tabindex", 0);
  svg.addEventListener("keydown", (event) => {
    if (!STEPS[event.key] || !STEPS[event.key][1]) return;
    event.preventDefault();
    at = Math.min(x1, Math.max(x0, at + STEPS[event.key][1] * (x1 - x0) / ARROW_STEPS));
    svg.dispatchEvent(new FocusEvent("focus"));
  });
  explain(svg, () => series.filter((one) => one.x.length).map((one, i) => {
    const k = one.x.reduce((best, value, j) => (Math.abs(value - at) < Math.abs(one.x[best] - at) ? j : best), 0);
    const value = one.y[k] === null ? "not known" : significant(one.y[k], 4);
    return `${i ? "" : `${x}: ${significant(one.x[k], 4)}\n`}${one.name}: ${value}`;
  }).join("\n"));
}

// Thresholds are grey: no curve of the data has their colour.
const strokeOf = (one, i) => (one.grey ? "var(--faint)" : INKS[i % INKS.length]);

function decades(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const one of high / low > 100 ? [1] : [1, 2, 5]) found.push(one * 10 ** power);
  }
  const inside = found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  return inside.length > 1 ? inside.map((value) => Number(value.toPrecision(6))) : ticks(low, high);
}

function figureOf(title, ...parts) {
  const figure = element("figure");
  figure.append(element("h3", title), ...parts);
  return figure;
}

// ---- prediction and outcome --------------------------------------------------------------------------------------
function showOutcome() {
  const { good_lit, min_lit, good_twice } = RUN.thresholds;
  byId("rule").textContent = `Predicted before anything ran, from the numbers of equations and unknowns; a heuristic. Well determined: at least ${good_lit} `
    + `intensities that are expected to hold a photon for each unknown, and ${100 * good_twice} % of the area covered at least twice. `
    + `Underdetermined: less than ${min_lit}, or nothing covered twice. Marginal: in between.`;
  const predicted = RUN.cells.filter((cell) => cell.prediction);
  const target = byId("outcome");
  if (!predicted.length) {
    target.append(element("p", "Not computed: no cell of this run has a prediction.", "faint"));
    return;
  }
  const table = element("table", undefined, "plain");
  table.createTHead().append(headRow(["predicted", "cells", "completed", "failed", "better than empty", "median error / empty object's"]));
  const body = table.createTBody();
  for (const prediction of PREDICTIONS) {
    const some = predicted.filter((cell) => cell.prediction === prediction);
    const completed = some.filter((cell) => cell.state === "completed");
    const ratios = completed.map(ratioOf).filter((ratio) => ratio !== undefined).sort((a, b) => a - b);
    const row = element("tr");
    row.append(heading(prediction.replace("_", " "), "row"));
    const median = ratios.length ? significant((ratios[(ratios.length - 1) >> 1] + ratios[ratios.length >> 1]) / 2) : "–";
    const numbers = [some.length, completed.length, some.length - completed.length,
      ratios.length ? `${ratios.filter((ratio) => ratio < 1).length} of ${ratios.length}` : "–", median];
    row.append(...numbers.map((text) => element("td", text, "number")));
    body.append(row);
  }
  target.append(sideways(table, "prediction and outcome"));
  const series = PREDICTIONS.map((prediction, ink) => {
    const some = predicted.filter((cell) => cell.prediction === prediction && ratioOf(cell) !== undefined);
    return {
      name: prediction.replace("_", " "), ink, dots: true, x: some.map((cell) => cell.numbers[DATA]), y: some.map(ratioOf),
      words: some.map((cell) => `${cell.name}\n${significant(cell.numbers[DATA])} lit intensities per unknown\nerror ${significant(ratioOf(cell))} of an empty object's`),
      names: some.map((cell) => cell.name),
    };
  }).filter((one) => one.x.length);
  if (series.length) {
    const axes = { x: "lit intensities per unknown", y: "phase error / empty object's", logX: true, logY: true, level: 1 };
    const figure = figureOf("below 1: better than an empty object", chart({ title: "prediction and outcome", series, ...axes }), legend(entriesOf(series)));
    figure.style.flex = "1 1 380px";
    figure.style.maxWidth = "560px";
    target.append(figure);
  }
}

function ratioOf(cell) {
  const [error, empty] = [cell.numbers[ERROR], cell.numbers[EMPTY]];
  return error !== undefined && empty > 0 ? error / empty : undefined;
}

// ---- exposures of a measured scan ----------------------------------------------------------------------------------
function showFrames() {
  const frames = RUN.frames;
  byId("frames").hidden = byId("framesLink").hidden = !frames;
  if (!frames) return;
  const number = (value) => significant(value, 4);
  byId("framesnote").textContent = `${frames.n} exposures of ${frames.dose.replace("_", " ")}: ${number(frames.photons_min)} to ${number(frames.photons_max)} photons, median ${number(frames.photons_median)}. `
    + (frames.n_marked ? `${frames.n_marked} are dark (below 1 % of the median) or far too bright (above 10 times the median).` : "None is dark (below 1 % of the median) or far too bright (above 10 times the median).");
  byId("frameparts").append(fieldOf(frames));
  if (frames.pattern) {
    const share = frames.n_masked ? `; ${frames.n_masked} of ${frames.n_pixels} pixels (${significant((100 * frames.n_masked) / frames.n_pixels)} %) are masked, in orange` : "; no pixel is masked";
    const figure = pictureFigure(frames.pattern, undefined, undefined);
    const image = figure.querySelector("image");
    const behind = drawn("rect", { class: "masked" });
    for (const name of ["x", "y", "width", "height"]) behind.setAttribute(name, image.getAttribute(name));
    image.before(behind);
    figure.append(element("p", `all exposures${share}`));
    byId("frameparts").append(figure);
  }
  if (frames.marked.length) {
    const rows = frames.marked.map((one) => [`exposure ${one.index}`, `${one.kind}, ${number(one.photons)} photons`]);
    byId("frameparts").append(factTable(frames.n_marked > rows.length ? `Marked, first ${rows.length} of ${frames.n_marked}` : "Marked", rows));
  }
}

// Photons of each exposure at its place in the field, y downwards as in the pictures.
function fieldOf(frames) {
  const ys = frames.yx.map(([y]) => y), xs = frames.yx.map(([, x]) => x);
  const [y0, y1, x0, x1] = [Math.min(...ys), Math.max(...ys), Math.min(...xs), Math.max(...xs)];
  const [left, top, bottom, size] = [52, 14, 40, 330];
  const unit = size / Math.max(x1 - x0, y1 - y0, 1);
  const [width, height] = [Math.max(40, (x1 - x0) * unit), Math.max(40, (y1 - y0) * unit)];
  const [W, H] = [left + width + 14, top + height + bottom];
  const px = (x) => left + (x - x0) * unit, py = (y) => top + (y - y0) * unit;
  const svg = drawn("svg", { viewBox: `0 0 ${W.toFixed(1)} ${H.toFixed(1)}`, role: "img", "aria-label": `photons of each exposure over the field: ${frames.photons_min} to ${frames.photons_max}, median ${frames.photons_median}` });
  svg.style.maxWidth = `${W}px`;
  // What is marked would use up the scale.
  const usual = frames.photons.filter((_, i) => !frames.kinds[i]);
  const shown = usual.length ? usual : frames.photons;
  let [low, high] = [Math.min(...shown), Math.max(...shown)];
  if (high - low < 1e-9 * Math.abs(high) + 1e-12) [low, high] = [low - 0.5, high + 0.5];
  const r = Math.max(1.2, Math.min(9, 0.45 * unit * Math.sqrt(((x1 - x0 || 1) * (y1 - y0 || 1)) / frames.yx.length)));
  // Marked ones last, on top.
  const order = frames.yx.map((_, i) => i).sort((a, b) => Boolean(frames.kinds[a]) - Boolean(frames.kinds[b]));
  order.forEach((i) => {
    const [[y, x], kind] = [frames.yx[i], frames.kinds[i]];
    const words = () => `${significant(frames.photons[i], 6)} photons${kind ? `, ${kind}` : ""}\n(y, x) = (${y}, ${x}) px`;
    const fill = colourOf((frames.photons[i] - low) / (high - low), "viridis");
    const dot = kind
      ? drawn("path", { d: markPath(px(x), py(y), Math.max(5, r), kind), class: `frame-${kind}` })
      : drawn("circle", { cx: px(x).toFixed(1), cy: py(y).toFixed(1), r: r.toFixed(1), fill });
    explain(dot, words);
    svg.append(dot);
  });
  for (const at of ticks(x0, x1, 5)) svg.append(drawn("line", { x1: px(at), x2: px(at), y1: top + height + 6, y2: top + height + 10, class: "axis" }), drawn("text", { x: px(at), y: top + height + 21, "text-anchor": "middle" }, String(at)));
  for (const at of ticks(y0, y1, 5)) svg.append(drawn("line", { x1: left - 12, x2: left - 8, y1: py(at), y2: py(at), class: "axis" }), drawn("text", { x: left - 15, y: py(at) + 4, "text-anchor": "end" }, String(at)));
  const sides = frames.pixel_size_nm;
  svg.append(drawn("text", { x: left + width / 2, y: H - 4, "text-anchor": "middle" }, axisTitle("x", sides && sides[1])));
  svg.append(drawn("text", { x: 10, y: top + height / 2, "text-anchor": "middle", transform: `rotate(-90 10 ${top + height / 2})` }, axisTitle("y", sides && sides[0])));
  const parts = [svg, colourKey({ low, high, colours: "viridis", unit: "photons" })];
  if (frames.n_marked) parts.push(element("p", "▼ dark, ▲ far too bright: beyond the scale of colours"));
  if (frames.yx.length < frames.n) parts.push(element("p", `${frames.yx.length} of ${frames.n} exposures, evenly taken, and the marked ones`));
  return figureOf("Photons of each exposure over the field", ...parts);
}

const markPath = (x, y, r, kind) => (kind === "dark" ? `M${x - r},${y - r}h${2 * r}l${-r},${2 * r}z` : `M${x - r},${y + r}h${2 * r}l${-r},${-2 * r}z`);

// ---- failures ----------------------------------------------------------------------------------------------------
function showFailures() {
  const failed = RUN.cells.filter((cell) => cell.error);
  byId("failures").hidden = byId("failuresLink").hidden = !failed.length;
  scrollable(byId("failures"), "cells without a reconstruction");
  byId("failures").querySelector("tbody").append(...failed.map((cell) => {
    const row = element("tr");
    const name = element("td", undefined, cell.state);
    name.append(element("span", SIGNS[cell.state], "mark"), cell.name);
    row.append(name, element("td", `${cell.kind}: ${cell.error}`), element("td"), element("td", cell.log || ""));
    for (const command of cell.commands) row.cells[2].append(element("code", command), element("br"));
    return row;
  }));
}

// ---- pictures ----------------------------------------------------------------------------------------------------
const urlOf = (picture) => `data:image/png;base64,${RUN.images[picture.image]}`;

const sidesOf = (cell) => (cell.facts.pixel_size_nm ? JSON.parse(cell.facts.pixel_size_nm) : undefined);
const lengthText = (nm) => (nm >= 1000 ? `${significant(nm / 1000)} µm` : `${significant(nm)} nm`);
const axisTitle = (axis, side) => (side === undefined ? `${axis} (px)` : `${axis} (px of ${significant(side)} nm)`);

// A bar of a round length, at most a third of the width, in a corner of a picture of an object to scale.
function scaleBar(svg, { left, bottom, width, unit, side }) {
  const most = (width / 3 / unit) * side;
  const power = 10 ** Math.floor(Math.log10(most));
  const nm = [5, 2, 1].map((one) => one * power).find((one) => one <= most);
  const length = (nm / side) * unit;
  const [x, y] = [left + 8, bottom - 10];
  svg.append(drawn("rect", { x: x - 1, y: y - 1, width: length + 2, height: 6, class: "scalebar-edge" }));
  svg.append(drawn("rect", { x, y, width: length, height: 4, class: "scalebar" }));
  svg.append(drawn("text", { x: x + length / 2, y: y - 5, "text-anchor": "middle", class: "scaletext" }, lengthText(nm)));
}

function pictureFigure(picture, scan, sides, of = "") {
  const [left, top, bottom, bar] = [46, 6, 36, 62];
  const width = 300;
  const height = Math.max(60, Math.min(330, (width * picture.height_px) / picture.width_px));
  const drawnWidth = (height * picture.width_px) / picture.height_px;
  const [W, H] = [left + drawnWidth + bar, top + height + bottom];
  const unit = drawnWidth / picture.width_px;
  const x = (at) => left + (at - picture.x_px + 0.5) * unit, y = (at) => top + (at - picture.y_px + 0.5) * unit;
  const svg = drawn("svg", { viewBox: `0 0 ${W.toFixed(1)} ${H.toFixed(1)}`, role: "img", "aria-label": pictureWords(picture, of) });
  svg.style.maxWidth = `${W}px`;
  const image = drawn("image", { x: left, y: top, width: drawnWidth, height, preserveAspectRatio: "none", href: urlOf(picture) });
  image.style.imageRendering = "pixelated";
  svg.append(image, drawn("rect", { x: left, y: top, width: drawnWidth, height, class: "frame" }));
  for (const at of ticks(picture.x_px, picture.x_px + picture.width_px - 1, drawnWidth < 120 ? 2 : 4)) {
    svg.append(drawn("line", { x1: x(at), x2: x(at), y1: top + height, y2: top + height + 4, class: "axis" }));
    svg.append(drawn("text", { x: x(at), y: top + height + 15, "text-anchor": "middle" }, String(at)));
  }
  for (const at of ticks(picture.y_px, picture.y_px + picture.height_px - 1, height < 120 ? 2 : 4)) {
    svg.append(drawn("line", { x1: left - 4, x2: left, y1: y(at), y2: y(at), class: "axis" }));
    svg.append(drawn("text", { x: left - 6, y: y(at) + 4, "text-anchor": "end" }, String(at)));
  }
  svg.append(drawn("text", { x: left + drawnWidth / 2, y: H - 5, "text-anchor": "middle" }, axisTitle("x", sides && sides[1])));
  svg.append(drawn("text", { x: 10, y: top + height / 2, "text-anchor": "middle", transform: `rotate(-90 10 ${top + height / 2})` }, axisTitle("y", sides && sides[0])));
  const { low, high, colours } = picture.scale;
  for (let i = 0; i < 48; i += 1) {
    svg.append(drawn("rect", { x: left + drawnWidth + 10, y: top + (i * height) / 48, width: 10, height: height / 48 + 0.5, fill: colourOf(1 - (i + 0.5) / 48, colours) }));
  }
  for (const at of ticks(low, high, 4)) {
    const level = top + height * (1 - (at - low) / (high - low));
    svg.append(drawn("line", { x1: left + drawnWidth + 20, x2: left + drawnWidth + 23, y1: level, y2: level, class: "axis" }));
    svg.append(drawn("text", { x: left + drawnWidth + 25, y: level + 4 }, label(at)));
  }
  if (scan) drawPositions(svg, scan, x, y);
  if (sides) scaleBar(svg, { left, bottom: top + height, width: drawnWidth, unit, side: sides[1] });
  const parts = [svg];
  if (picture.block_px > 1) parts.push(element("p", `averaged over ${picture.block_px} x ${picture.block_px} px to keep the page small`));
  if (scan) parts.push(element("p", scan.yx.length < scan.n ? `${scan.yx.length} of ${scan.n} kept positions, evenly taken` : `${scan.n} kept positions`));
  return figureOf(withUnit(TITLES[picture.key], picture.scale.unit), ...parts);
}

function pictureWords({ key, height_px, width_px, scale }, of) {
  const ends = [scale.low, scale.high].map((value) => `${significant(value)}${scale.unit ? ` ${scale.unit}` : ""}`);
  return `${TITLES[key]}${of && ` of ${of}`}: ${height_px} x ${width_px} px, colours from ${ends.join(" to ")}`;
}

function drawPositions(svg, scan, x, y) {
  const r = scan.yx.length > 400 ? 0.9 : scan.yx.length > 60 ? 1.8 : 3;
  const d = scan.yx.map(([atY, atX]) => `M${(x(atX) - r).toFixed(1)},${y(atY).toFixed(1)}a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0`).join("");
  const dots = drawn("path", { d, fill: "#56b4e9", class: "positions" });
  if (r > 1) {
    dots.setAttribute("stroke", "#111");
    dots.setAttribute("stroke-width", "0.6");
  }
  svg.append(dots);
}

// ---- gallery -----------------------------------------------------------------------------------------------------
function showGallery() {
  const shown = RUN.cells.filter((cell) => pictureOf(cell, "phase"));
  const scale = shown.length && pictureOf(shown[0], "phase").scale;
  byId("gallerynote").textContent = scale
    ? "Shown inside the illuminated area, aligned to the truth if there is one, on one scale." : "No cell has a phase to show yet.";
  if (scale) byId("gallery").insertBefore(colourKey({ ...scale, unit: withUnit("phase", scale.unit) }), byId("thumbs"));
  const thumbs = byId("thumbs");
  thumbs.style.setProperty("--columns", RUN.views.length * RUN.splits.length);
  const buttons = [];
  thumbs.append(element("span"));
  for (const view of RUN.views) for (const split of RUN.splits) thumbs.append(element("span", `${view} ${split}`, "head top"));
  for (const dose of RUN.doses) {
    for (const section of RUN.sections) {
      const row = [];
      thumbs.append(element("span", titled(shortDose(dose), section), "head"));
      for (const view of RUN.views) {
        for (const split of RUN.splits) {
          const place = placeOf(dose, view, split, section);
          const thumb = place ? thumbOf(place) : null;
          thumbs.append(thumb || element("span"));
          row.push(thumb);
        }
      }
      buttons.push(row);
    }
  }
  walkable(thumbs, () => buttons);
}

function resolutionOf(cell) {
  const [px, nm] = [cell.numbers[RESOLUTION], cell.numbers[RESOLUTION_NM]];
  if (px === undefined) return "";
  // Half sets that agree up to Nyquist do not cross half a bit.
  const finest = cell.numbers[HALF_BIT] === undefined ? "≤ " : "";
  return `${finest}${significant(px)} px${nm === undefined ? "" : ` = ${lengthText(nm)}`}`;
}

const pictureOf = (cell, key) => cell.pictures.find((picture) => picture.key === key);

function thumbOf(place) {
  const cells = cellsOf(place);
  const cell = cells.find((one) => pictureOf(one, "phase")) || cells[0];
  const picture = pictureOf(cell, "phase");
  const button = element("button", undefined, `thumb ${cell.state}`);
  button.type = "button";
  const gap = element("span", picture ? "" : cell.state === "completed" ? "no picture" : `${SIGNS[cell.state]} ${cell.kind || cell.state}`, "gap");
  const error = cell.numbers[ERROR];
  const words = [cell.numbers.n_kept === undefined ? "" : `n = ${cell.numbers.n_kept}`, error === undefined ? resolutionOf(cell) : `${significant(error)} rad`, place.marks.join(" ")];
  button.append(gap, element("small", words.filter(Boolean).join(", ") || cell.state));
  if (picture) {
    whenSeen(gap, () => {
      const image = element("img");
      image.alt = "";
      image.src = urlOf(picture);
      gap.replaceWith(image);
    });
  }
  const said = [cell.name, ...words].filter(Boolean).join("\n");
  button.setAttribute("aria-label", picture ? `phase of ${said}` : `${gap.textContent}: ${said}`);
  explain(button, () => said);
  button.addEventListener("click", () => choose(cell.name, true));
  return button;
}

// ---- one cell ----------------------------------------------------------------------------------------------------
// Where each ring correlation of a cell first falls below half a bit and below a bit.
function crossingsOf(cell, keys) {
  return CROSSING.filter(([key, holder]) => cell.curves[key] && CRITERIA.some(([one]) => cell.numbers[`${holder}.${one}.frequency_per_px`] !== undefined))
    .map(([key, holder]) => {
      const found = CRITERIA.filter(([one]) => cell.numbers[`${holder}.${one}.frequency_per_px`] !== undefined);
      const words = found.map(([one, name]) => {
        const [px, nm] = ["px", "nm"].map((unit) => cell.numbers[`${holder}.${one}.resolution_${unit}`]);
        return `${name} at ${significant(px)} px${nm === undefined ? "" : ` = ${lengthText(nm)}`}`;
      });
      return { values: found.map(([one]) => cell.numbers[`${holder}.${one}.frequency_per_px`]), words: `${keys[key]}: falls below ${words.join(", ")}` };
    });
}

function chartsOf(cell) {
  return CHARTS.map(({ title, keys, ...axes }) => {
    const series = Object.entries(keys).filter(([key]) => cell.curves[key]).map(([key, name]) => ({ name, ...cell.curves[key], ...THRESHOLD_LOOKS[key] }));
    if (!series.length) return figureOf(title, element("p", "not computed"));
    const values = series.flatMap((one) => one.y).filter((value) => value !== null);
    const best = cell.numbers["stopping.best_epoch"];
    const marks = axes.x === "epoch" && best !== undefined ? [{ value: best, name: `best epoch ${best}` }] : [];
    const crossings = keys.frc_halves ? crossingsOf(cell, keys) : [];
    if (crossings.length) marks.push(...crossings[0].values.map((value) => ({ value, name: "" })));
    const sides = sidesOf(cell);
    const x = sides && keys.frc_halves ? `${axes.x.slice(0, -1)} of ${significant(Math.sqrt(sides[0] * sides[1]))} nm)` : axes.x;
    const logY = axes.low === undefined && Math.min(...values) > 0 && Math.max(...values) > 20 * Math.min(...values);
    return saveable(`${cell.name} ${title}`, seriesTable(x, series), title, chart({ title, series, logY, marks, ...axes, x }), entriesOf(series), ...(series.length > 1 ? [legend(entriesOf(series))] : []), ...crossings.map(({ words }) => element("p", words, "faint")));
  });
}

function factTable(title, facts) {
  const box = element("div", undefined, "fact");
  const table = element("table", undefined, "plain");
  for (const [name, value] of facts) {
    const row = table.insertRow();
    row.append(heading(name, "row"), element("td", value));
  }
  box.append(element("h3", title), table);
  return scrollable(box, title);
}

const isDigest = (name) => name.startsWith("digests.") || name.endsWith("_key");

function showCell(cell) {
  const target = byId("cell");
  const parts = [];
  if (cell.error) parts.push(element("p", `${cell.state}, ${cell.kind}: ${cell.error}`, "notice wide"));
  else if (cell.state !== "completed") parts.push(element("p", cell.state, "notice wide"));
  for (const caveat of cell.caveats) parts.push(element("p", caveat, "notice wide"));
  for (const problem of cell.problems) parts.push(element("p", `damaged: ${problem}`, "notice wide"));
  if (cell.left_out.length) {
    parts.push(element("p", `left out to keep the page small: ${cell.left_out.map((key) => PICTURES[key]).join(", ")}; see fly64dask report --figures`, "notice wide"));
  }
  const absent = [];
  for (const key of Object.keys(PICTURES)) {
    const picture = pictureOf(cell, key);
    if (picture) parts.push(pictureFigure(picture, key === "illumination" ? RUN.scans[cell.scan] : undefined, sidesOf(cell), cell.name));
    else if (!cell.left_out.includes(key) && !(MEASURED && OF_TRUTH.includes(key))) absent.push(PICTURES[key]);
  }
  if (cell.state === "completed") {
    parts.push(...chartsOf(cell));
    if (absent.length) parts.push(element("p", `not computed, or damaged as said above: ${absent.join(", ")}`, "faint wide"));
  }
  const numbers = RUN.quantities.map((one) => [withUnit(one.label, one.unit), cell.numbers[one.key]]);
  const tables = element("div", undefined, "wide tables");
  tables.append(factTable("Numbers", numbers.map(([name, value]) => [name, value === undefined ? "not computed" : significant(value, 5)])));
  const written = (value) => (typeof value === "number" && !Number.isInteger(value) ? significant(value, 5) : String(value));
  const facts = Object.entries(cell.facts).map(([name, value]) => [name, written(value)]);
  tables.append(factTable("Record", facts.filter(([name]) => !isDigest(name))));
  const digests = element("details", undefined, "wide");
  digests.append(element("summary", "Digests"), factTable("SHA-256", facts.filter(([name]) => isDigest(name))));
  parts.push(tables, digests);
  target.replaceChildren(...parts);
}

function choose(name, scroll) {
  const cell = cellByName.get(name);
  if (!cell) return;
  byId("pick").value = name;
  const found = `#cell=${encodeURIComponent(name)}`;
  if (location.hash !== found) history.replaceState(null, "", found);
  for (const row of byId("rows").tBodies[0].rows) row.classList.toggle("here", row.dataset.cell === name);
  byId("cell").dataset.cell = name;
  if (scroll) {
    showCell(cell);
    byId("detail").scrollIntoView();
    // The next Tab goes on from here, wherever the cell was chosen.
    if (!byId("detail").contains(document.activeElement)) byId("detailHead").focus({ preventScroll: true });
  } else {
    byId("cell").replaceChildren();
    whenSeen(byId("detail"), () => { if (byId("cell").dataset.cell === name) showCell(cell); });
  }
}

function showPicker() {
  const pick = byId("pick");
  pick.append(...RUN.cells.map((cell) => new Option(`${SIGNS[cell.state]} ${cell.name}`, cell.name)));
  pick.addEventListener("change", () => choose(pick.value, true));
  const step = (by) => choose(RUN.cells[(pick.selectedIndex + by + RUN.cells.length) % RUN.cells.length].name, true);
  byId("before").addEventListener("click", () => step(-1));
  byId("after").addEventListener("click", () => step(1));
  const asked = decodeURIComponent((location.hash.match(/^#cell=(.*)$/) || [])[1] || "");
  const first = RUN.cells.filter((cell) => cell.pictures.length);
  const limiting = cellByName.has(RUN.answer.opens_on) ? RUN.answer.opens_on : undefined;
  const name = cellByName.has(asked) ? asked : limiting || (first[first.length - 1] || RUN.cells[0]).name;
  choose(name, cellByName.has(asked));
}

// ---- table -------------------------------------------------------------------------------------------------------
function showTable() {
  const columns = [
    { title: "cell", of: (cell) => cell.name }, { title: "state", of: (cell) => cell.state },
    { title: "prediction", of: (cell) => cell.prediction && cell.prediction.replace("_", " ") },
    ...RUN.quantities.map((one) => ({ title: withUnit(one.label, one.unit), of: (cell) => cell.numbers[one.key], number: true })),
    { title: "device", of: (cell) => cell.facts.device },
  ];
  const body = byId("rows").tBodies[0];
  body.append(...RUN.cells.map((cell) => {
    const row = element("tr");
    row.dataset.cell = cell.name;
    const name = element("button", cell.name);
    name.type = "button";
    name.addEventListener("click", () => choose(cell.name, true));
    row.append(element("td"));
    row.cells[0].append(name);
    for (const column of columns.slice(1)) {
      const value = column.of(cell);
      const text = value === undefined || value === null ? "" : column.number ? significant(value, 4) : value;
      row.append(element("td", text, column.number ? "number" : undefined));
    }
    return row;
  }));
  const head = element("tr");
  columns.forEach((column) => {
    const th = heading(undefined, "col");
    const button = element("button", column.title);
    button.type = "button";
    button.addEventListener("click", () => {
      const sign = th.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of head.cells) other.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      for (const other of head.querySelectorAll("button")) other.textContent = other.textContent.replace(/ [▲▼]$/, "");
      button.textContent += sign > 0 ? " ▲" : " ▼";
      const keyed = [...body.rows].map((row) => ({ row, value: column.of(cellByName.get(row.dataset.cell)) }));
      const known = keyed.filter(({ value }) => value !== undefined && value !== null);
      known.sort((a, b) => sign * (column.number ? a.value - b.value : String(a.value).localeCompare(String(b.value), "en", { numeric: true })));
      body.append(...known.map(({ row }) => row), ...keyed.filter((one) => !known.includes(one)).map(({ row }) => row));
    });
    th.append(button);
    head.append(th);
  });
  byId("rows").tHead.append(head);
  walkable(head, () => [[...head.querySelectorAll("button")]]);
  walkable(body, () => [...body.rows].map((row) => [row.querySelector("button")]));
  byId("onpaper").textContent = columns.length > ON_PAPER
    ? `Paper has room for ${ON_PAPER} of ${columns.length} columns; the page and its CSV have all.` : "";
}

// ---- the rest ----------------------------------------------------------------------------------------------------
function showHead() {
  byId("study").textContent = RUN.study;
  byId("summary").textContent = `${RUN.cells.length} cells in ${RUN.run}, in the state of ${RUN.made_at}`;
  byId("counts").append(...Object.entries(RUN.counts).map(([state, number]) => {
    const item = element("li", undefined, state);
    item.append(element("span", SIGNS[state], "mark"), ` ${number} ${state}`);
    return item;
  }));
  byId("notices").append(...RUN.notices.map(({ kind, text }) => element("li", text, kind)));
}

function showProvenance() {
  const { study, versions, devices, report } = RUN.provenance;
  const counted = (found) => Object.entries(found).map(([name, number]) => [name, `${number} cells`]);
  const source = element("div", undefined, "fact");
  source.append(element("h3", "Study, as it ran"), scrollable(element("pre", JSON.stringify(study, null, 2)), "study"));
  byId("facts").append(
    source,
    factTable("Versions of what computed the cells", versions.map((one) => [one.name, `${one.version} (${one.n_cells} cells)`])),
    factTable("Devices", counted(devices)),
    factTable("This page", Object.entries(report)),
  );
}

showHead();
showAnswer();
showMatrix();
showOutcome();
showFrames();
showFailures();
showTable();
showGallery();
showPicker();
showProvenance();
document.body.dataset.ready = "yes";
