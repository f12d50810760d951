// Draws several runs beside each other. No number joins cells of two runs: each has its own curves and columns.

// One map for each view, split and section, with a column for each run that has it.
const mapRows = () => RUN.sections.map((section) => RUN.splits.flatMap((split) => RUN.views.map((view) => {
  const at = (run) => (dose) => placeOf(dose, view, split, section, run);
  const having = RUN.runs.filter(({ name }) => RUN.doses.some(at(name)));
  return { title: titled(`${view}, ${split}`, section), columns: having.map(({ name }) => ({ name, at: at(name) })) };
}).filter((map) => map.columns.length))).filter((row) => row.length);

// A cell is shown by the report of its run, if there is one; else the run is found in the table of runs.
function choose(cell, _, run) {
  const { link } = RUN.runs.find(({ name }) => name === run);
  if (link) {
    location.assign(`${encodeURI(link)}#cell=${encodeURIComponent(cell)}`);
    return;
  }
  const row = [...document.querySelectorAll("#runtable tbody th")].find((one) => one.dataset.run === run);
  row.scrollIntoView({ block: "center" });
  row.focus({ preventScroll: true });
}

function showRuns() {
  byId("study").textContent = `${RUN.runs.length} runs`;
  byId("summary").textContent = `of ${RUN.study}, in the state of ${RUN.made_at}`;
  byId("notices").append(...RUN.notices.map(({ kind, text }) => element("li", text, kind)));
  const table = element("table", undefined, "plain");
  table.createTHead().append(headRow(["run", "study", "cells", "where"]));
  const body = table.createTBody();
  for (const run of RUN.runs) {
    const line = element("tr"), name = heading(undefined, "row");
    name.dataset.run = run.name;
    name.tabIndex = -1;
    if (run.link) {
      const link = element("a", run.name);
      link.href = encodeURI(run.link);
      name.append(link);
    } else {
      name.textContent = run.name;
    }
    const counts = element("td");
    for (const [state, number] of Object.entries(run.counts)) {
      const item = element("span", undefined, `count ${state}`);
      item.append(element("span", SIGNS[state], "mark"), `${number} ${state}`);
      counts.append(item, " ");
    }
    line.append(name, element("td", run.study), counts, element("td", run.path));
    body.append(line);
  }
  byId("runtable").append(sideways(table, "runs"));
}

function showDiffering() {
  byId("differingnote").textContent = RUN.differing.length
    ? "Settings of the studies, versions and devices that are not the same in all runs; all others are." : "Studies, versions and devices are the same in all runs.";
  if (!RUN.differing.length) return;
  const table = element("table", undefined, "plain");
  table.createTHead().append(headRow(["setting", ...RUN.runs.map(({ name }) => name)]));
  const body = table.createTBody();
  for (const { key, words } of RUN.differing) {
    const line = element("tr");
    line.append(heading(key, "row"), ...words.map((text) => element("td", text)));
    body.append(line);
  }
  byId("differingtable").append(sideways(table, "what differs between the runs"));
}

showRuns();
showDiffering();
showAnswer();
showMatrix();
showFailures();
document.body.dataset.ready = "yes";
