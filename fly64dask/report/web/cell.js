// Shows one cell: its pictures, curves, numbers and record; and lets another one be chosen.

// What a scan that was measured cannot have.
const MEASURED = RUN.provenance.study.source.kind === "measured";
const OF_TRUTH = ["phase_truth", "phase_difference", "amplitude_truth", "amplitude_difference"];
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
// Thresholds of ring correlations, and the numbers that say where each curve crosses them.
const CRITERIA = [["half_bit", "the half-bit threshold"], ["one_bit", "the 1-bit threshold"]];
const CROSSING = [["frc_halves", "half_sets"], ["frc_truth", "metrics.frc"], ["frc_reference", "reference"]];

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
