// Draws maps, pictures, curves and tables from the content that the page carries (`fly64dask schema report`). What
// comes from a run is only ever set as text, and nothing is drawn before somebody can see it.

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
      half_bit: "half-bit threshold", one_bit: "1-bit threshold",
    },
  },
];
const THRESHOLD_LOOKS = { half_bit: { grey: true, dash: 0 }, one_bit: { grey: true, dash: 1 } };
const PREDICTIONS = ["well_determined", "marginal", "underdetermined"];
const ERROR = "metrics.phase_rmse_rad", EMPTY = "metrics.empty_phase_rmse_rad";
const RESOLUTION = "half_sets.resolution_px", RESOLUTION_NM = "half_sets.resolution_nm";
const HALF_BIT = "half_sets.half_bit.frequency_per_px";
// Thresholds of ring correlations, and the numbers that say where each curve crosses them.
const CRITERIA = [["half_bit", "the half-bit threshold"], ["one_bit", "the 1-bit threshold"]];
const CROSSING = [["frc_halves", "half_sets"], ["frc_truth", "metrics.frc"], ["frc_reference", "reference"]];
const DATA = "identifiability.lit_intensities_per_unknown";
const ON_PAPER = 8; // columns of all cells, as report.css has it

// ---- matrix ------------------------------------------------------------------------------------------------------
// One row of maps for each section, so that recipes and objects stand below each other.
const mapRows = () => RUN.sections.map((section) => RUN.splits.map((split) => ({
  title: titled(split, section), columns: RUN.views.map((view) => ({ name: view, at: (dose) => placeOf(dose, view, split, section) })),
})));

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
      words: some.map((cell) => `${cell.name}\n${significant(cell.numbers[DATA])} nonzero intensities per unknown\nerror ${significant(ratioOf(cell))} of an empty object's`),
      names: some.map((cell) => cell.name),
    };
  }).filter((one) => one.x.length);
  if (series.length) {
    const axes = { x: "nonzero intensities per unknown", y: "phase error / empty object's", logX: true, logY: true, level: 1 };
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
  byId("framesnote").textContent = `${counted(frames.n, "exposure")} of ${frames.dose.replace("_", " ")}: ${number(frames.photons_min)} to ${number(frames.photons_max)} photons, median ${number(frames.photons_median)}. `
    + (frames.n_marked ? `${counted(frames.n_marked, "is", "are")} dark (below 1 % of the median) or far too bright (above 10 times the median).` : "None is dark (below 1 % of the median) or far too bright (above 10 times the median).");
  byId("frameparts").append(fieldOf(frames));
  if (frames.pattern) {
    const share = frames.n_masked ? `; ${frames.n_masked} of ${frames.n_pixels} pixels (${significant((100 * frames.n_masked) / frames.n_pixels)} %) ${frames.n_masked === 1 ? "is" : "are"} masked, in orange` : "; no pixel is masked";
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
  // Half sets that agree up to Nyquist do not cross the half-bit threshold.
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
// Where each ring correlation of a cell first falls below its thresholds.
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
  const cell = cellOf(name);
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
  const limiting = cellOf(RUN.answer.opens_on) ? RUN.answer.opens_on : undefined;
  const name = cellOf(asked) ? asked : limiting || (first[first.length - 1] || RUN.cells[0]).name;
  choose(name, Boolean(cellOf(asked)));
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
      const keyed = [...body.rows].map((row) => ({ row, value: column.of(cellOf(row.dataset.cell)) }));
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
  byId("summary").textContent = `${counted(RUN.cells.length, "cell")} in ${RUN.run}, in the state of ${RUN.made_at}`;
  byId("counts").append(...Object.entries(RUN.counts).map(([state, number]) => {
    const item = element("li", undefined, state);
    item.append(element("span", SIGNS[state], "mark"), ` ${number} ${state}`);
    return item;
  }));
  byId("notices").append(...RUN.notices.map(({ kind, text }) => element("li", text, kind)));
}

function showProvenance() {
  const { study, versions, devices, report } = RUN.provenance;
  const source = element("div", undefined, "fact");
  source.append(element("h3", "Study, as it ran"), scrollable(element("pre", JSON.stringify(study, null, 2)), "study"));
  byId("facts").append(
    source,
    factTable("Versions of what computed the cells", versions.map((one) => [one.name, `${one.version} (${counted(one.n_cells, "cell")})`])),
    factTable("Devices", Object.entries(devices).map(([name, number]) => [name, counted(number, "cell")])),
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
