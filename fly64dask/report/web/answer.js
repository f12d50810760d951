// Draws how low dose and overlap can go: sentences and a table of each target, comparisons, and the SNR of repeats. What
// comes from a run is only ever set as text. The other scripts of the page follow in the same one.
"use strict";

// Of a target that are shown at once; where views, splits and recipes are many, curves and table say it sooner.
const MOST_SENTENCES = 8;
const MOST_COLUMNS = 6; // of the table at a glance

function showAnswer() {
  const { answer, rows, hint, note, snr, comparisons } = RUN.answer;
  byId("answernote").textContent = hint || note || "";
  byId("answernote").hidden = !(hint || note);
  if (answer) {
    showGlance(answer.targets, rows);
    byId("targets").append(...answer.targets.map((target, i) => targetBox(target, rows[i], answer.dose_by)));
  }
  if (comparisons) showComparisons(comparisons);
  if (!byId("snr")) return; // of one run alone
  byId("snr").hidden = !snr.length;
  byId("snr").addEventListener("toggle", () => { if (!byId("snrcharts").childElementCount) showSnr(snr); });
}

// Percent of a linear overlap; a negative one is a distance between beams, in diameters.
const overlapWords = (percent) => (percent === "–" ? "" : /^[-−]/.test(percent) ? "beams apart" : percent.replace(" ", "\u00a0"));

// The whole answer in one small table: the lowest dose of each view, a column for each target and split.
function showGlance(targets, rows) {
  const columns = targets.flatMap((target, i) => RUN.splits.map((split) => ({ target, split, rows: rows[i].filter((row) => row.split === split) })));
  const makers = new Map();
  for (const row of rows.flat()) {
    const name = [row.view, madeBy(row)].filter(Boolean).join(", ");
    makers.set(name, { ...row, overlaps: new Set([...(makers.get(name)?.overlaps || []), overlapWords(row.overlap)].filter(Boolean)) });
  }
  if (columns.length > MOST_COLUMNS || makers.size > MOST_SENTENCES * (RUN.runs || [RUN]).length) return;
  const table = element("table", undefined, "plain limits");
  const line = headRow([`lowest dose (${RUN.dose_unit})`]);
  line.append(...columns.map(({ target, split }) => heading([`${goalOf(target)} ${unitOf(target)}`, ...(RUN.splits.length > 1 ? [split] : [])].join(", "), "col", "number")));
  table.createTHead().append(line);
  const body = table.createTBody();
  for (const [name, { view, overlaps, ...method }] of makers) {
    const row = element("tr");
    row.append(heading(overlaps.size ? `${name} (${[...overlaps].join(", ")})` : name, "row"));
    for (const column of columns) {
      const found = column.rows.find((one) => one.view === view && madeBy(one) === madeBy(method));
      const cell = element("td", undefined, `number ${found ? found.outcome : ""}`);
      if (found) {
        const [number, ...interval] = found.lowest === "–" ? [found.words] : found.lowest.split(" (");
        cell.append(element("span", found.sign, "sign"), element("span", number, "lowest"), ...interval.map((text) => ` (${text}`));
      }
      row.append(cell);
    }
    body.append(row);
  }
  byId("glance").append(table);
  scrollable(byId("glance"), "lowest dose of each view");
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
  for (const { split, view } of panels()) {
    const curves = target.curves.map((curve, i) => ({ ...curve, limit: target.doses[i], sentence: target.sentences[i], slopeWords: rows[i].slope }))
      .filter((curve) => curve.split === split && (!view || curve.view === view));
    if (curves.length || !view) charts.append(limitFigure(target, { split, view }, curves, doseBy));
  }
  box.append(legend(limitKey(target)), charts, limitTable(rows, target.words), sentenceList(target.sentences.slice(nDoses)));
  return box;
}

// One chart for each split; of several runs one for each view as well, so that colours tell the runs apart.
const panels = () => RUN.splits.flatMap((split) => (hasRuns() ? RUN.views.map((view) => ({ split, view })) : [{ split }]));

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
  table.createTHead().append(headRow(["where", "first", "second", "second / first (95 %)", "p, corrected", "beyond the spread?"]));
  const body = table.createTBody();
  for (const row of rows) {
    const line = element("tr");
    const name = (text) => element("td", text, text === row.lower ? "better" : undefined);
    line.append(element("td", row.place), name(row.first), name(row.second), element("td", row.factor, "number"), element("td", row.p, "number"), element("td", row.words));
    body.append(line);
  }
  const folded = element("details");
  folded.append(element("summary", sentences.join(" ")), element("p", `Compared: ${label}; lower is better.`, "faint"), sideways(table, "differences beyond the spread of repeats"));
  box.append(folded);
}

// Run, recipe and setup of a limit or a curve, where there are several.
const madeBy = (one) => [one.run_name, one.recipe_name, one.setup_name].filter(Boolean).join(", ");
const hasRuns = () => Boolean(RUN.runs);

function limitTable(rows, name) {
  const [runs, axes] = [["run"], ["recipe", "setup"]].map((some) => some.filter((axis) => rows.some((row) => row[`${axis}_name`])));
  const table = element("table", undefined, "plain limits");
  const titles = [...runs, "view", "split", ...axes, "overlap", "target", `lowest dose (${RUN.dose_unit})`, "photons/px²", "photons in total"];
  table.createTHead().append(headRow(titles));
  const body = table.createTBody();
  for (const row of rows) {
    const line = element("tr", undefined, row.outcome);
    const outcome = element("td", undefined, "outcome");
    outcome.append(element("span", row.sign, "sign"), row.words);
    line.append(...[...runs.map(() => row.run_name), row.view, row.split, ...axes.map((axis) => row[`${axis}_name`] || "")].map((text) => element("td", text)));
    line.append(element("td", row.overlap, "number"), outcome);
    line.append(...[row.lowest, row.fluence, row.total].map((text) => element("td", text, "number")));
    body.append(line);
  }
  return sideways(table, `lowest doses, ${name}`);
}

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
    byId("snrcharts").append(saveable(`${RUN.study} SNR ${title}`, seriesTable(axes.x, series), title, chart({ title: `SNR of ${title}`, series, ...axes }), entriesOf(series), legend(entriesOf(series))));
  }
}
