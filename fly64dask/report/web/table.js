// Draws the table of all cells, which its headings sort.

const ON_PAPER = 8; // columns of all cells, as report.css has it

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
