// Draws a number of the records as maps of dose and view, or of dose and run; `mapRows` of each page says which maps.

const MANY_CELLS = 150;
// Cells and places of one run have no name of a run.
const keyOf = (...parts) => JSON.stringify(parts);
const cellByName = new Map(RUN.cells.map((cell) => [keyOf(cell.run, cell.name), cell]));
const cellOf = (name, run) => cellByName.get(keyOf(run, name));

// ---- matrix ------------------------------------------------------------------------------------------------------
// A study may repeat a cell with other photons: its repeats share one place in the matrix. A recipe and an object of
// several are a section of their own.
const placeByKey = new Map(RUN.places.map((place) => [keyOf(place.run, place.dose, place.view, place.split, place.section), place]));
const placeOf = (dose, view, split, section, run) => placeByKey.get(keyOf(run, dose, view, split, section));
const titled = (title, section) => (section ? `${title}, ${section}` : title);
const cellsOf = (place) => place.cells.map((name) => cellOf(name, place.run));

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
  const lines = [titled(`${place.run ? `${place.run}: ` : ""}${place.dose}/${place.view}/${place.split}`, place.section)];
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
  if (cells[0].numbers.n_kept !== undefined) lines.push(`${counted(cells[0].numbers.n_kept, "exposure")} kept`);
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
    // Of repeats that failed or have not ended the mean knows nothing.
    const known = found.n < place.cells.length && !small ? [`(${found.n} of ${place.cells.length})`] : [];
    button.textContent = [significant(found.mean) + spread, ...known, ...place.marks].join(" ");
  } else {
    button.className = `none ${first.state}`;
    button.textContent = [`${SIGNS[first.state]}${small || first.state === "completed" ? "" : ` ${first.kind || first.state}`}`, ...place.marks].join(" ");
  }
  button.dataset.cell = place.cells[0];
  button.setAttribute("aria-label", `${button.textContent}: ${wordsOf(place, quantity)}`);
  explain(button, () => wordsOf(place, quantity));
  button.addEventListener("click", () => choose(place.cells[0], true, place.run));
  return button;
}

// A map has a row for each dose and a column for each view or run; a column gives its place at a dose.
function heatMap(quantity, { title, columns }, range, small) {
  const box = element("div", undefined, "map");
  box.append(element("h3", title));
  const table = element("table", undefined, small ? "heat small" : "heat");
  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", `${quantity.label}, ${title}`);
  table.createTHead().append(headRow([withUnit("dose", RUN.dose_unit), ...columns.map((column) => column.name)]));
  const body = table.createTBody();
  // A run may have added a dose to other views alone.
  const doses = RUN.doses.filter((dose) => columns.some((column) => column.at(dose)));
  const buttons = doses.map((dose) => columns.map((column) => {
    const place = column.at(dose);
    return place ? heatButton(place, quantity, range, small) : null;
  }));
  doses.forEach((dose, i) => {
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
  target.replaceChildren(...mapRows().map((row) => {
    const maps = element("div", undefined, "maps");
    maps.append(...row.map((map) => heatMap(quantity, map, range, small)));
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

// ---- failures ----------------------------------------------------------------------------------------------------
function showFailures() {
  const failed = RUN.cells.filter((cell) => cell.error);
  byId("failures").hidden = byId("failuresLink").hidden = !failed.length;
  scrollable(byId("failures"), "cells without a reconstruction");
  byId("failures").querySelector("tbody").append(...failed.map((cell) => {
    const row = element("tr");
    const name = element("td", undefined, cell.state);
    name.append(element("span", SIGNS[cell.state], "mark"), [cell.run, cell.name].filter(Boolean).join(" "));
    row.append(name, element("td", `${cell.kind}: ${cell.error}`), element("td"), element("td", cell.log || ""));
    for (const command of cell.commands) row.cells[2].append(element("code", command), element("br"));
    return row;
  }));
}
