// Draws how low dose and overlap can go: sentences, a table and curves of each target, and the SNR of repeats. What
// comes from a run is only ever set as text. `report.js` follows in the same script.
"use strict";

const SHAPES = ["circle", "square", "triangle", "diamond", "cross"];
// Of a target that are shown at once; where views, splits and recipes are many, curves and table say it sooner.
const MOST_SENTENCES = 8;
const DASHES = ["none", "6 3", "2 2", "8 3 2 3"];

function showAnswer() {
  const { answer, rows, hint, note, snr, comparisons } = RUN.answer;
  byId("answernote").textContent = hint || note || "";
  byId("answernote").hidden = !(hint || note);
  if (answer) byId("targets").append(...answer.targets.map((target, i) => targetBox(target, rows[i], answer.dose_by)));
  if (comparisons) showComparisons(comparisons);
  byId("snr").hidden = !snr.length;
  byId("snr").addEventListener("toggle", () => { if (!byId("snrcharts").childElementCount) showSnr(snr); });
}

function targetBox(target, rows, doseBy) {
  const box = element("article", undefined, "target");
  box.append(element("h3", `${target.words[0].toUpperCase()}${target.words.slice(1)}`));
  const nDoses = target.doses.length;
  const said = sentenceList(target.sentences.slice(0, nDoses));
  if (nDoses > MOST_SENTENCES) {
    const folded = element("details");
    folded.append(element("summary", `${nDoses} sentences`), said);
    box.append(folded);
  } else {
    box.append(said);
  }
  const charts = element("div", undefined, "charts");
  for (const split of RUN.splits) {
    const curves = target.curves.map((curve, i) => ({ ...curve, limit: target.doses[i], sentence: target.sentences[i] }))
      .filter((curve) => curve.split === split);
    charts.append(limitFigure(target, split, curves, doseBy));
  }
  box.append(limitLegend(target), charts, limitTable(rows), sentenceList(target.sentences.slice(nDoses)));
  return box;
}

function sentenceList(sentences) {
  const list = element("ul", undefined, "sentences");
  list.append(...sentences.map((sentence) => element("li", sentence)));
  list.hidden = !sentences.length;
  return list;
}

// Which views, recipes and setups differ beyond the spread of repeats: in a sentence, with the table folded below.
function showComparisons({ label, sentences, rows }) {
  const box = byId("comparisons");
  box.hidden = false;
  if (!rows.length) {
    box.append(element("p", sentences.join(" "), "faint"));
    return;
  }
  const table = element("table", undefined, "plain limits");
  const head = element("tr");
  head.append(...["where", "first", "second", "second / first (95 %)", "p, corrected", "beyond the spread?"].map((title) => element("th", title)));
  table.createTHead().append(head);
  const body = table.createTBody();
  for (const row of rows) {
    const line = element("tr");
    const name = (text) => element("td", text, text === row.lower ? "better" : undefined);
    line.append(element("td", row.place), name(row.first), name(row.second), element("td", row.factor, "number"), element("td", row.p, "number"), element("td", row.words));
    body.append(line);
  }
  const scroll = element("div", undefined, "sideways");
  scroll.append(table);
  const folded = element("details");
  folded.append(element("summary", sentences.join(" ")), element("p", `Compared: ${label}; lower is better.`, "faint"), scroll);
  box.append(folded);
}

// Recipe and setup of a limit or a curve, where the study has several.
const madeBy = (one) => [one.recipe_name, one.setup_name].filter(Boolean).join(", ");

function limitTable(rows) {
  const axes = ["recipe", "setup"].filter((axis) => rows.some((row) => row[`${axis}_name`]));
  const table = element("table", undefined, "plain limits");
  const head = element("tr");
  const titles = ["view", "split", ...axes, "overlap", "target", `lowest dose (${RUN.dose_unit})`, "photons/px²", "photons in total"];
  head.append(...titles.map((title) => element("th", title)));
  table.createTHead().append(head);
  const body = table.createTBody();
  for (const row of rows) {
    const line = element("tr", undefined, row.outcome);
    const outcome = element("td", undefined, "outcome");
    outcome.append(element("span", row.sign, "sign"), row.words);
    line.append(...[row.view, row.split, ...axes.map((axis) => row[`${axis}_name`] || "")].map((text) => element("td", text)));
    line.append(element("td", row.overlap, "number"), outcome);
    line.append(...[row.lowest, row.fluence, row.total].map((text) => element("td", text, "number")));
    body.append(line);
  }
  const frame = element("div", undefined, "sideways");
  frame.append(table);
  return frame;
}

// ---- curves of a target ------------------------------------------------------------------------------------------
const inkOf = (view) => INKS[RUN.views.indexOf(view) % INKS.length];
const shapeOf = (view) => SHAPES[RUN.views.indexOf(view) % SHAPES.length];
const methodsOf = (target) => [...new Set(target.curves.map(madeBy))];

function markShape(shape, x, y, r, attributes) {
  const d = {
    circle: `M${x - r},${y}a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0z`,
    square: `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    triangle: `M${x},${y - 1.2 * r}l${1.15 * r},${2 * r}h${-2.3 * r}z`,
    diamond: `M${x},${y - 1.3 * r}l${1.3 * r},${1.3 * r}l${-1.3 * r},${1.3 * r}l${-1.3 * r},${-1.3 * r}z`,
    cross: `M${x - r},${y - r}l${2 * r},${2 * r}m0,${-2 * r}l${-2 * r},${2 * r}`,
  }[shape];
  return drawn("path", { d, ...attributes });
}

function limitLegend(target) {
  const box = element("div", undefined, "legend");
  const item = (name, draw) => {
    const svg = drawn("svg", { width: 26, height: 12, viewBox: "0 0 26 12", "aria-hidden": "true" });
    svg.append(...draw);
    const span = element("span");
    span.append(svg, ` ${name}`);
    box.append(span);
  };
  const across = (attributes) => drawn("line", { x1: 0, x2: 26, y1: 6, y2: 6, ...attributes });
  for (const view of RUN.views) {
    item(view, [across({ stroke: inkOf(view), class: "line" }), markShape(shapeOf(view), 13, 6, 4, { stroke: inkOf(view), class: "point" })]);
  }
  const recipes = methodsOf(target);
  if (recipes.length > 1) recipes.forEach((recipe, i) => item(recipe, [across({ stroke: "currentColor", class: "line", "stroke-dasharray": DASHES[i % DASHES.length] })]));
  item("target", [across({ class: "goal" })]);
  if (hasFloor(target)) item("without noise", [across({ class: "floor", stroke: "currentColor" })]);
  item(isResolution(target) ? "fluence ∝ size⁻⁴" : "∝ 1 / √fluence", [across({ class: "guide" })]);
  return box;
}

const isResolution = (target) => target.target.resolution_px !== undefined || target.target.resolution_nm !== undefined;
const hasFloor = (target) => target.target.error_over_floor === undefined && target.curves.some((curve) => curve.noise_free !== undefined);
const goalOf = ({ target }) => target.resolution_px ?? target.resolution_nm ?? target.phase_error_rad ?? target.error_over_floor;

function unitOf({ target }) {
  if (target.error_over_floor !== undefined) return "x the floor";
  return target.phase_error_rad !== undefined ? "rad" : target.resolution_nm !== undefined ? "nm" : "px";
}

// Side of a pixel in nm, where the run knows one.
function sideNm() {
  const sides = RUN.cells.map(sidesOf).find(Boolean);
  return sides && Math.sqrt(sides[0] * sides[1]);
}

function limitFigure(target, split, curves, doseBy) {
  const title = RUN.splits.length > 1 ? split : isResolution(target) ? "resolution" : "phase error";
  const unit = unitOf(target);
  // A study of one setup has the columns that it always had.
  const ofSetups = (text) => (curves.some((each) => each.setup_name) ? [text] : []);
  const rows = [["view", "split", "recipe", ...ofSetups("setup"), "cell", RUN.dose_unit, "fluence (photons/px²)", `${isResolution(target) ? "resolution" : "phase error"} (${unit})`]];
  for (const curve of curves) {
    for (const point of curve.points) {
      point.cells.forEach((cell, k) => rows.push([curve.view, split, curve.recipe_name || "", ...ofSetups(curve.setup_name), cell, point.light.dose, point.light.fluence_photons_per_px2 ?? "", point.values[k]]));
    }
  }
  if (rows.length === 1) return figureOf(title, element("p", "nothing measured"));
  const slopes = curves.filter((curve) => curve.slope).map((curve) => `${[curve.view, madeBy(curve)].filter(Boolean).join(" ")} ${slopeText(curve.slope)}`);
  const caption = slopes.length ? [element("p", `slope ± s.e.: ${slopes.join(", ")}`)] : [];
  return saveable(`${RUN.study} ${goalOf(target)} ${unit} ${split}`, rows, title, limitChart(target, curves, doseBy), ...caption);
}

function slopeText({ power, standard_error: error }) {
  const digits = error > 0 ? Math.min(4, Math.max(2, -Math.floor(Math.log10(error)))) : 2;
  return `${power.toFixed(digits)} ± ${error.toFixed(digits)}`.replace("-", "−");
}

function limitChart(target, curves, doseBy) {
  const side = sideNm();
  const hasFluence = curves.every((curve) => curve.points.every((point) => point.light.fluence_photons_per_px2 > 0));
  const xOf = (light) => (hasFluence ? light.fluence_photons_per_px2 : light.dose);
  const topNm = side !== undefined && hasFluence, rightNm = side !== undefined && target.target.resolution_px !== undefined;
  const [W, H, left, right, top, bottom] = [310, 214, 44, rightNm ? 42 : 8, topNm ? 30 : 6, 36];
  const goal = goalOf(target), floors = hasFloor(target) ? curves.map((curve) => curve.noise_free).filter((one) => one !== undefined) : [];
  const points = curves.flatMap((curve) => curve.points);
  const xs = points.map((point) => xOf(point.light)), ys = [goal, ...floors, ...points.flatMap((point) => point.values)];
  const [x0, x1, y0, y1] = [Math.min(...xs) / 1.4, Math.max(...xs) * 1.4, Math.min(...ys) / 1.2, Math.max(...ys) * 1.2];
  const px = (value) => left + (W - left - right) * Math.log(value / x0) / Math.log(x1 / x0);
  const py = (value) => H - bottom - (H - top - bottom) * Math.log(value / y0) / Math.log(y1 / y0);
  const unit = unitOf(target), name = isResolution(target) ? "resolution" : "phase error";
  const svg = drawn("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${target.words}: curves` });
  const text = (x, y, words, anchor = "middle") => svg.append(drawn("text", { x, y, "text-anchor": anchor }, words));
  const upright = (x, words) => svg.append(drawn("text", { x, y: (top + H - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 ${x} ${(top + H - bottom) / 2})` }, words));
  for (const value of decades(x0, x1)) {
    svg.append(drawn("line", { x1: px(value), x2: px(value), y1: top, y2: H - bottom, class: "grid" }));
    text(px(value), H - bottom + 13, label(value));
  }
  for (const value of decades(y0, y1)) {
    svg.append(drawn("line", { x1: left, x2: W - right, y1: py(value), y2: py(value), class: "grid" }));
    text(left - 4, py(value) + 4, label(value), "end");
  }
  svg.append(drawn("path", { d: `M${left},${top}V${H - bottom}H${W - right}`, class: "axis" }));
  text((left + W - right) / 2, H - 6, hasFluence ? "fluence (photons/px²)" : withUnit("dose", RUN.dose_unit));
  upright(11, `${name} (${unit})`);
  if (topNm) {
    const area = side * side;
    for (const value of decades(x0 / area, x1 / area)) text(px(value * area), top - 4, label(value));
    text((left + W - right) / 2, 10, "fluence (photons/nm²)");
  }
  if (rightNm) {
    for (const value of decades(y0 * side, y1 * side)) text(W - right + 4, py(value / side) + 4, label(value), "start");
    upright(W - 5, `${name} (nm)`);
  }
  drawGuide(svg, target, curves, { xOf, px, py, x0, x1, y0, y1 });
  for (const curve of curves) drawCurve(svg, target, curve, { xOf, px, py, left, edge: W - right });
  svg.append(drawn("line", { x1: left, x2: W - right, y1: py(goal), y2: py(goal), class: "goal" }));
  for (const curve of curves) drawCrossing(svg, curve, { xOf, px, x0, x1, y: py(goal) });
  for (const curve of curves) drawPoints(svg, curve, { xOf, px, py, unit, name, doseBy });
  return svg;
}

// How shot noise alone lowers the number, through the lowest dose of the curve that ends lowest.
function drawGuide(svg, target, curves, { xOf, px, py, x0, x1, y0, y1 }) {
  const known = curves.map((curve) => curve.points.filter((point) => point.level !== undefined)).filter((points) => points.length);
  if (!known.length) return;
  const [first] = known.reduce((best, points) => (points[points.length - 1].level < best[best.length - 1].level ? points : best));
  const power = isResolution(target) ? -0.25 : -0.5;
  const at = (x) => first.level * (x / xOf(first.light)) ** power;
  const back = (y) => xOf(first.light) * (y / first.level) ** (1 / power);
  const [from, to] = [Math.max(x0, back(y1)), Math.min(x1, back(y0))];
  if (from < to) svg.append(drawn("line", { x1: px(from), y1: py(at(from)), x2: px(to), y2: py(at(to)), class: "guide" }));
}

function drawCurve(svg, target, curve, { xOf, px, py, left, edge }) {
  const ink = inkOf(curve.view);
  if (curve.noise_free !== undefined && hasFloor(target)) {
    svg.append(drawn("line", { x1: left, x2: edge, y1: py(curve.noise_free), y2: py(curve.noise_free), class: "floor", stroke: ink }));
  }
  const d = curve.line.map((one, k) => `${k ? "L" : "M"}${px(xOf(one)).toFixed(1)},${py(one.level).toFixed(1)}`).join("");
  const dash = DASHES[methodsOf(target).indexOf(madeBy(curve)) % DASHES.length];
  if (d) svg.append(drawn("path", { d, class: "line", stroke: ink, "stroke-dasharray": dash }));
}

function drawCrossing(svg, curve, { xOf, px, x0, x1, y }) {
  const { limit } = curve;
  if (limit.outcome !== "reached" || !limit.lowest) return;
  const ink = inkOf(curve.view);
  if (limit.interval) {
    const low = limit.interval.low ? xOf(limit.interval.low) : x0, high = limit.interval.high ? xOf(limit.interval.high) : x1;
    svg.append(drawn("line", { x1: px(low), x2: px(high), y1: y, y2: y, class: "interval", stroke: ink }));
  }
  const mark = markShape(shapeOf(curve.view), px(xOf(limit.lowest)), y, 4.5, { fill: ink, stroke: ink, tabindex: 0 });
  explain(mark, () => curve.sentence);
  svg.append(mark);
}

function drawPoints(svg, curve, { xOf, px, py, unit, name, doseBy }) {
  const ink = inkOf(curve.view);
  for (const point of curve.points) {
    point.values.forEach((value, k) => {
      const mark = markShape(shapeOf(curve.view), px(xOf(point.light)), py(value), 3.4, { class: "point", stroke: ink, tabindex: 0 });
      const lines = [point.cells[k], `${name}: ${significant(value)} ${unit}`, `${significant(point.light.photons_per_exposure)} photons per exposure`];
      if (point.light.fluence_photons_per_px2 !== undefined) lines.push(`${significant(point.light.fluence_photons_per_px2)} photons/px²`);
      if (point.light.fluence_photons_per_nm2 !== undefined) lines.push(`${significant(point.light.fluence_photons_per_nm2)} photons/nm²`);
      if (doseBy === "total") lines.push(`${significant(point.light.dose)} photons in total`);
      if (point.n_failed) lines.push(`${point.n_failed} repeats failed`);
      explain(mark, () => lines.join("\n"));
      mark.addEventListener("click", () => choose(point.cells[k], true));
      svg.append(mark);
    });
  }
}

// ---- spectral SNR ------------------------------------------------------------------------------------------------
const LEAST_SNR = 0.01;

function showSnr(curves) {
  const groups = new Map();
  for (const curve of curves) {
    const key = titled(`${curve.view} ${curve.split}`, curve.section);
    groups.set(key, [...(groups.get(key) || []), curve]);
  }
  for (const [title, some] of groups) {
    const series = some.map((curve) => ({
      name: `${shortDose(curve.dose)}, ${curve.n_repeats} repeats`, x: curve.frequency_per_px,
      y: curve.snr.map((value) => (value !== null && value > LEAST_SNR ? value : null)),
    }));
    const axes = { x: "spatial frequency (cycles/px)", y: "spectral SNR", logY: true, level: 1 };
    byId("snrcharts").append(saveable(`${RUN.study} SNR ${title}`, seriesTable(axes.x, series), title, chart({ title: `SNR of ${title}`, series, ...axes }), legend(series)));
  }
}

// ---- figures to keep ---------------------------------------------------------------------------------------------
const seriesTable = (x, series) => [["curve", x, "value"], ...series.flatMap((one) => one.x.map((value, k) => [one.name, value, one.y[k] ?? ""]))];

// A figure with links to keep it as SVG or PNG, as it is shown, and its numbers as CSV.
function saveable(name, rows, title, svg, ...parts) {
  const figure = figureOf(title, svg, ...parts);
  const file = name.replace(/[^\w.+-]+/g, "-").replace(/^-|-$/g, "");
  const links = element("p", undefined, "export");
  const link = (text, make) => {
    const button = element("button", text);
    button.type = "button";
    button.setAttribute("aria-label", `${text} of ${name}`);
    button.addEventListener("click", () => make((url) => {
      const anchor = element("a");
      anchor.href = url;
      anchor.download = `${file}.${text.toLowerCase()}`;
      anchor.click();
    }));
    links.append(button);
  };
  link("SVG", (keep) => keep(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(svg))}`));
  link("PNG", (keep) => asPng(svg, keep));
  link("CSV", (keep) => keep(`data:text/csv;charset=utf-8,${encodeURIComponent(csvText(rows))}`));
  figure.append(links);
  return figure;
}

const csvText = (rows) => rows.map((row) => row.map((one) => (/[",\n]/.test(String(one)) ? `"${String(one).replaceAll('"', '""')}"` : one)).join(",")).join("\r\n");

// The figure's source with the styles of the page written into it, on the page's own ground.
function standalone(svg) {
  const copy = svg.cloneNode(true);
  const [, , width, height] = svg.getAttribute("viewBox").split(" ");
  const originals = [svg, ...svg.querySelectorAll("*")], copies = [copy, ...copy.querySelectorAll("*")];
  originals.forEach((original, i) => {
    const style = getComputedStyle(original);
    for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family"]) {
      copies[i].setAttribute(name, style.getPropertyValue(name));
    }
    copies[i].removeAttribute("class");
    copies[i].removeAttribute("tabindex");
  });
  copy.setAttribute("xmlns", SVG);
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  const ground = getComputedStyle(svg.parentElement || document.body).backgroundColor;
  copy.prepend(drawn("rect", { width, height, fill: ground }));
  return new XMLSerializer().serializeToString(copy);
}

const PNG_SCALE = 4;

function asPng(svg, keep) {
  const image = new Image();
  image.onload = () => {
    const canvas = element("canvas");
    [canvas.width, canvas.height] = [image.width * PNG_SCALE, image.height * PNG_SCALE];
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    keep(canvas.toDataURL("image/png"));
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(svg))}`;
}

