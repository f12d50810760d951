// Draws the page of a run under way from fly64/state.json, every second or two. What comes from a run is only ever set as text.
"use strict";

const WORDS = { left_out: "not in this run" };
const EVERY_MS = 1000; // twice that for many cells, whose answer has 200 kB
const QUIET_S = 15;
const MANY_CELLS = 150;
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
let signs = {};
let glossary = {};
let shape = "";
let cards = new Map();
let many = false;
let wanted = 0; // page of the matrix
let waiting = null;
let answered = Date.now();

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function duration(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

function significant(value) {
  const text = value.toPrecision(3);
  return text.includes("e") ? value.toExponential(2) : text;
}

function short(photons) {
  return Number.isNaN(Number(photons)) ? photons : Number(photons).toPrecision(4);
}

function place(dose, view, split, section, repeat) {
  return JSON.stringify([dose, view, split, section, repeat]);
}

function makeCard() {
  const td = element("td");
  const top = element("div", undefined, "top");
  const title = element("span", undefined, "word");
  const mark = element("span", undefined, "mark");
  mark.setAttribute("aria-hidden", "true");
  const word = element("span");
  title.append(mark, word);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "polyline");
  svg.append(line);
  top.append(title, svg);
  const note = element("div", undefined, "note");
  const marks = element("span", undefined, "marks");
  const said = element("span");
  note.append(marks, said);
  const bar = element("div", undefined, "bar");
  td.append(top, note, bar);
  return { td, mark, word, svg, line, marks, said, bar, shown: "" };
}

function doseHead(state, dose, nLines) {
  const photons = dose.replace(/^dose_/, "");
  const th = element("th", Number.isInteger(Number(photons)) ? photons : short(photons));
  th.title = photons;
  th.scope = "rowgroup";
  th.rowSpan = nLines;
  if (!Number.isNaN(Number(photons))) th.append(element("small", ` ${state.dose_unit}`));
  return th;
}

function lineHead({ split, section, repeat }, isRepeated) {
  const th = element("th", split);
  th.scope = "row";
  if (section) th.append(element("small", ` ${section}`, "section"));
  if (section) th.title = `${split}, ${section}`;
  if (isRepeated) th.append(element("small", ` repeat ${repeat}`));
  return th;
}

function makeMatrix(state) {
  const head = element("tr");
  for (const title of ["dose", "split", ...state.views]) {
    const th = element("th", title);
    th.scope = "col";
    th.title = glossary[title] || `view ${title}: ${glossary.view || ""}`;
    head.append(th);
  }
  cards = new Map();
  const linesOf = new Map();
  for (const line of state.lines) linesOf.set(line.dose, [...(linesOf.get(line.dose) || []), line]);
  const rows = state.lines.map((line) => {
    const row = element("tr");
    const ofDose = linesOf.get(line.dose);
    if (ofDose[0] === line) row.append(doseHead(state, line.dose, ofDose.length));
    row.append(lineHead(line, ofDose.some(({ repeat }) => repeat > 0)));
    for (const view of state.views) {
      const card = makeCard();
      cards.set(place(line.dose, view, line.split, line.section, line.repeat), card);
      row.append(card.td);
    }
    return row;
  });
  byId("matrix").tHead.replaceChildren(head);
  byId("matrix").tBodies[0].replaceChildren(...rows);
  many = cards.size > MANY_CELLS;
  document.body.classList.toggle("many", many);
  const several = state.lines.some(({ section }) => section);
  document.body.classList.toggle("sections", several);
  // Cells keep a readable width; a matrix of many views is scrolled sideways.
  byId("matrix").style.minWidth = `${(several ? 280 : 180) + state.views.length * (many ? 130 : 230)}px`;
}

function goTo(page) {
  wanted = page;
  clearTimeout(waiting);
  poll();
}

// Each cell of the run as a dot in the colour of its state, a column of dots for some cells of a page.
function showMap(state) {
  byId("pages").hidden = state.n_pages < 2;
  if (state.n_pages < 2) return;
  const first = state.page_sizes.slice(0, state.page).reduce((sum, size) => sum + size, 0);
  const next = first + state.page_sizes[state.page];
  byId("where").textContent =
    `page ${state.page + 1} of ${state.n_pages}: cells ${first + 1} to ${next} of ${state.map.length}`;
  byId("before").disabled = state.page === 0;
  byId("after").disabled = state.page === state.n_pages - 1;
  const canvas = byId("map");
  const height = Math.max(4, Math.ceil(Math.sqrt(state.map.length / 8)));
  const width = Math.ceil(state.map.length / height);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const colours = state.states.map((name) => {
    const styled = element("i", undefined, name);
    canvas.after(styled);
    const colour = getComputedStyle(styled).getPropertyValue("--state");
    styled.remove();
    return colour;
  });
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  for (let i = 0; i < state.map.length; i += 1) {
    pen.globalAlpha = i >= first && i < next ? 1 : 0.55;
    pen.fillStyle = colours[Number(state.map[i])];
    pen.fillRect(Math.floor(i / height), i % height, 1, 1);
  }
  canvas.onclick = ({ offsetX, offsetY }) => {
    const x = Math.floor((offsetX / canvas.clientWidth) * width);
    let left = x * height + Math.floor((offsetY / canvas.clientHeight) * height);
    const page = state.page_sizes.findIndex((size) => (left -= size) < 0);
    if (page >= 0) goTo(page);
  };
  for (const [id, name] of [["running", "running"], ["failed", "failed"]]) {
    const at = state.map.indexOf(String(state.states.indexOf(name)));
    let left = at;
    byId(id).disabled = at < 0;
    byId(id).onclick = () => goTo(state.page_sizes.findIndex((size) => (left -= size) < 0));
  }
  byId("before").onclick = () => goTo(state.page - 1);
  byId("after").onclick = () => goTo(state.page + 1);
}

function wordOf(cell) {
  if (cell.waits !== undefined) return many ? "waits" : "waits for disk space";
  if (many && cell.state === "running") return (cell.epoch ? `${cell.epoch}/${cell.n_epochs}` : "starting");
  if (many && cell.state === "completed") return ["done", ...marksOf(cell)].join(" ");
  if (cell.state === "running") return cell.epoch ? `epoch ${cell.epoch} of ${cell.n_epochs}` : "starting";
  if (cell.state === "completed") return qualityOf(cell) || cell.state;
  return WORDS[cell.state] || cell.state;
}

function qualityOf(cell) {
  return cell.phase_rmse_rad === undefined ? cell.resolution : `${cell.phase_rmse_rad.toFixed(3)} rad`;
}

const marksOf = (cell) => cell.marks || [];

function noteOf(cell) {
  const parts = [];
  if (cell.state === "running") {
    if (cell.waits !== undefined) parts.push(cell.waits);
    if (cell.loss !== undefined) parts.push(`loss ${significant(cell.loss)}`);
    if (cell.worker !== undefined) parts.push(`worker ${cell.worker} on ${cell.host}`);
    const quiet = `${cell.epoch ? "last epoch" : "started"} ${duration(cell.heard_s)} ago`;
    if (cell.heard_s > QUIET_S) parts.unshift(quiet);
  } else if (cell.failure !== undefined) {
    parts.push(cell.failure);
  } else if (cell.state === "completed") {
    if (cell.error_over_empty !== undefined) parts.push(`${cell.error_over_empty.toFixed(2)} x empty`);
    if (cell.n_kept !== undefined) parts.push(`n=${cell.n_kept}`);
    if (cell.seconds !== undefined) parts.push(duration(cell.seconds));
    if (!cell.ended) parts.push("earlier run");
  }
  return parts.join(" · ");
}

function showCell(cell, meanings) {
  const card = cards.get(place(cell.dose, cell.view, cell.split, cell.section || "", cell.repeat));
  const word = wordOf(cell);
  const note = noteOf(cell);
  const shown = JSON.stringify([cell.state, word, note, cell.course, cell.marks]);
  if (!card || card.shown === shown) return;
  card.shown = shown;
  card.td.className = cell.state;
  card.mark.textContent = signs[cell.state];
  card.word.textContent = word;
  card.marks.textContent = marksOf(cell).join(" ");
  card.said.textContent = note;
  const meant = meanings.filter(({ sign }) => marksOf(cell).includes(sign)).map(({ sign, words }) => `${sign}: ${words}`);
  card.td.title = [`${cell.name}: ${WORDS[cell.state] || cell.state}`, word, note, ...meant, cell.added].filter(Boolean).join("\n");
  const last = cell.course.length ? cell.course[cell.course.length - 1][0] : 1;
  const first = cell.course.length ? cell.course[0][0] : 1;
  const points = cell.course.map(([epoch, height]) => {
    const x = (100 * (epoch - first)) / Math.max(1, last - first);
    return `${x.toFixed(1)},${(19 - 18 * height).toFixed(1)}`;
  });
  card.line.setAttribute("points", points.length > 1 ? points.join(" ") : "");
  card.bar.style.width = cell.state === "running" && cell.epoch ? `${(100 * cell.epoch) / cell.n_epochs}%` : "0";
}

function showFailures(cells) {
  const failed = cells.filter((cell) => cell.failure !== undefined);
  const rows = failed.map((cell) => {
    const row = element("tr");
    const name = element("td", undefined, cell.state);
    name.append(element("span", signs[cell.state], "mark"), document.createTextNode(cell.name));
    row.append(name, element("td", cell.failure), element("td", cell.log || ""));
    return row;
  });
  const shown = JSON.stringify(failed.map((cell) => [cell.name, cell.failure]));
  if (byId("failures").dataset.shown === shown) return;
  byId("failures").dataset.shown = shown;
  byId("failures").hidden = rows.length === 0;
  byId("failures").querySelector("tbody").replaceChildren(...rows);
}

function showMeanings(meanings) {
  byId("meanings").hidden = meanings.length === 0;
  byId("meanings").replaceChildren(...meanings.map(({ sign, words }) => {
    const item = element("li", undefined);
    item.append(element("span", sign, "marks"), document.createTextNode(words));
    return item;
  }));
}

function show(state) {
  signs = state.signs;
  const now = JSON.stringify([state.views, state.lines]);
  if (now !== shape) makeMatrix(state);
  shape = now;
  document.title = `${state.n_ended}/${state.n_wanted} ${state.study} · fly64dask`;
  byId("study").textContent = state.study;
  const part = state.round ? `round ${state.round}` : "this run";
  byId("summary").textContent =
    `${state.n_ended} of ${state.n_wanted} ${state.n_wanted === 1 ? "cell" : "cells"} of ${part} ended · ${duration(state.elapsed_s)}`;
  const counts = Object.entries(state.counts).filter(([, number]) => number > 0);
  byId("counts").replaceChildren(...counts.map(([name, number]) => {
    const item = element("li", undefined, name);
    item.append(element("span", signs[name], "mark"), document.createTextNode(` ${number} ${WORDS[name] || name}`));
    return item;
  }));
  showMap(state);
  for (const cell of state.cells) showCell(cell, state.marks);
  showMeanings(state.marks);
  showFailures(state.cells);
}

// The page works without them, so that an answer that does not come stops nothing.
async function showWords() {
  const answer = await fetch("fly64/words.json").catch(() => undefined);
  if (!answer || !answer.ok) return;
  glossary = await answer.json();
  const parts = Object.entries(glossary).flatMap(([word, meaning]) => [element("dt", word), element("dd", meaning)]);
  byId("words").querySelector("dl").replaceChildren(...parts);
  byId("words").hidden = false;
}

async function poll() {
  if (!document.hidden) {
    try {
      const answer = await fetch(`fly64/state.json?page=${wanted}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      const state = await answer.json();
      wanted = state.page;
      show(state);
      answered = Date.now();
      byId("silence").hidden = true;
    } catch {
      byId("silence").textContent =
        `No answer for ${duration((Date.now() - answered) / 1000)}: the run has ended, or the way to it is closed. ` +
        "What is committed is on disk: fly64dask status RUN shows it.";
      byId("silence").hidden = false;
    }
  }
  waiting = setTimeout(poll, many ? 2 * EVERY_MS : EVERY_MS);
}

showWords().then(poll);
