// Makes the page usable without a mouse and without sight: one stop of the Tab key for each matrix and chart, with arrow
// keys inside it, areas that scroll by keys, and numbers of curves as tables.

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

// Items that arrow keys walk through, in rows as they are now, null where a place is empty; the item last used is the
// stop of the Tab key.
function walkable(box, rowsNow) {
  const items = rowsNow().flat().filter(Boolean);
  const use = (item) => { for (const one of items) one.setAttribute("tabindex", one === item ? 0 : -1); };
  if (items.length) use(items[0]);
  const goalOf = (item, key) => {
    const rows = rowsNow();
    const line = rows.findIndex((row) => row.includes(item));
    const present = rows[line].filter(Boolean);
    if (key === "Home" || key === "End") return present[key === "Home" ? 0 : present.length - 1];
    let [y, x] = [line, rows[line].indexOf(item)];
    const [down, right] = STEPS[key];
    do [y, x] = [y + down, x + right]; while (rows[y] && x >= 0 && x < rows[y].length && !rows[y][x]);
    return rows[y] && rows[y][x];
  };
  // A listener of the box would make a chart itself a stop.
  for (const item of items) item.addEventListener("focus", () => use(item));
  box.addEventListener("keydown", (event) => {
    if (!items.includes(event.target) || !(event.key in STEPS || ["Home", "End"].includes(event.key))) return;
    event.preventDefault();
    const goal = goalOf(event.target, event.key);
    if (goal) goal.focus();
  });
}

// A mark in a chart as a button: the words are its name and what appears on hovering.
function pressable(mark, words, act) {
  mark.setAttribute("role", "button");
  mark.setAttribute("aria-label", words);
  explain(mark, () => words);
  mark.addEventListener("click", act);
  mark.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act();
  });
}

// A box that is a stop of the Tab key while it has more than it shows, so that arrow keys scroll it.
function scrollable(box, name) {
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", name);
  const watcher = new ResizeObserver(() => {
    if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.setAttribute("tabindex", 0);
    else if (box.clientWidth > 0) box.removeAttribute("tabindex"); // what is folded has no width yet
  });
  for (const one of [box, ...box.children]) watcher.observe(one);
  return box;
}

function sideways(table, name) {
  const frame = element("div", undefined, "sideways");
  frame.setAttribute("tabindex", 0);  // until it is known whether it scrolls
  frame.append(table);
  return scrollable(frame, name);
}

function headRow(titles) {
  const row = element("tr");
  row.append(...titles.map((title) => heading(title, "col")));
  return row;
}

function heading(text, scope, name) {
  const th = element("th", text, name);
  th.scope = scope;
  return th;
}

// The numbers of a figure as a table, made when it is asked for; the first row has the titles.
function foldedNumbers(rows, name) {
  const folded = element("details", undefined, "numbers");
  folded.append(element("summary", "Numbers"));
  folded.addEventListener("toggle", () => {
    if (folded.childElementCount > 1) return;
    const table = element("table", undefined, "plain");
    const isUsed = rows[0].map((_, column) => rows.slice(1).some((row) => row[column] !== ""));
    const used = (row) => row.filter((_, column) => isUsed[column]);
    table.createTHead().append(headRow(used(rows[0])));
    const body = table.createTBody();
    for (const row of rows.slice(1)) {
      const line = element("tr");
      line.append(...used(row).map((value) => (typeof value === "number" ? element("td", significant(value, 5), "number") : element("td", value))));
      body.append(line);
    }
    folded.append(sideways(table, `numbers of ${name}`));
  });
  return folded;
}
