// Draws the page of one run from the content that it carries (`fly64dask schema report`). What comes from a run is only
// ever set as text, and nothing is drawn before somebody can see it.

// One row of maps for each section, so that recipes and objects stand below each other.
const mapRows = () => RUN.sections.map((section) => RUN.splits.map((split) => ({
  title: titled(split, section), columns: RUN.views.map((view) => ({ name: view, at: (dose) => placeOf(dose, view, split, section) })),
})));

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
