// Draws what was predicted of each cell beside its outcome.

const PREDICTIONS = ["well_determined", "marginal", "underdetermined"];
const ERROR = "metrics.phase_rmse_rad", EMPTY = "metrics.empty_phase_rmse_rad";
const DATA = "identifiability.lit_intensities_per_unknown";

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
