// Draws the exposures of a measured scan: over the field, on the detector, and those that are dark or far too bright.

function showFrames() {
  const frames = RUN.frames;
  byId("frames").hidden = byId("framesLink").hidden = !frames;
  if (!frames) return;
  const number = (value) => significant(value, 4);
  byId("framesnote").textContent = `${counted(frames.n, "exposure")} of ${frames.dose.replace("_", " ")}: ${number(frames.photons_min)} to ${number(frames.photons_max)} photons, median ${number(frames.photons_median)}. `
    + (frames.n_marked ? `${counted(frames.n_marked, "is", "are")} dark (below 1 % of the median) or far too bright (above 10 times the median).` : "None is dark (below 1 % of the median) or far too bright (above 10 times the median).");
  byId("frameparts").append(fieldOf(frames));
  if (frames.pattern) {
    const share = frames.n_masked ? `; ${frames.n_masked} of ${frames.n_pixels} pixels (${significant((100 * frames.n_masked) / frames.n_pixels)} %) ${frames.n_masked === 1 ? "is" : "are"} masked, in orange` : "; no pixel is masked";
    const figure = pictureFigure(frames.pattern, undefined, undefined);
    const image = figure.querySelector("image");
    const behind = drawn("rect", { class: "masked" });
    for (const name of ["x", "y", "width", "height"]) behind.setAttribute(name, image.getAttribute(name));
    image.before(behind);
    figure.append(element("p", `all exposures${share}`));
    byId("frameparts").append(figure);
  }
  if (frames.marked.length) {
    const rows = frames.marked.map((one) => [`exposure ${one.index}`, `${one.kind}, ${number(one.photons)} photons`]);
    byId("frameparts").append(factTable(frames.n_marked > rows.length ? `Marked, first ${rows.length} of ${frames.n_marked}` : "Marked", rows));
  }
}

// Photons of each exposure at its place in the field, y downwards as in the pictures.
function fieldOf(frames) {
  const ys = frames.yx.map(([y]) => y), xs = frames.yx.map(([, x]) => x);
  const [y0, y1, x0, x1] = [Math.min(...ys), Math.max(...ys), Math.min(...xs), Math.max(...xs)];
  const [left, top, bottom, size] = [52, 14, 40, 330];
  const unit = size / Math.max(x1 - x0, y1 - y0, 1);
  const [width, height] = [Math.max(40, (x1 - x0) * unit), Math.max(40, (y1 - y0) * unit)];
  const [W, H] = [left + width + 14, top + height + bottom];
  const px = (x) => left + (x - x0) * unit, py = (y) => top + (y - y0) * unit;
  const svg = drawn("svg", { viewBox: `0 0 ${W.toFixed(1)} ${H.toFixed(1)}`, role: "img", "aria-label": `photons of each exposure over the field: ${frames.photons_min} to ${frames.photons_max}, median ${frames.photons_median}` });
  svg.style.maxWidth = `${W}px`;
  // What is marked would use up the scale.
  const usual = frames.photons.filter((_, i) => !frames.kinds[i]);
  const shown = usual.length ? usual : frames.photons;
  let [low, high] = [Math.min(...shown), Math.max(...shown)];
  if (high - low < 1e-9 * Math.abs(high) + 1e-12) [low, high] = [low - 0.5, high + 0.5];
  const r = Math.max(1.2, Math.min(9, 0.45 * unit * Math.sqrt(((x1 - x0 || 1) * (y1 - y0 || 1)) / frames.yx.length)));
  // Marked ones last, on top.
  const order = frames.yx.map((_, i) => i).sort((a, b) => Boolean(frames.kinds[a]) - Boolean(frames.kinds[b]));
  order.forEach((i) => {
    const [[y, x], kind] = [frames.yx[i], frames.kinds[i]];
    const words = () => `${significant(frames.photons[i], 6)} photons${kind ? `, ${kind}` : ""}\n(y, x) = (${y}, ${x}) px`;
    const fill = colourOf((frames.photons[i] - low) / (high - low), "viridis");
    const dot = kind
      ? drawn("path", { d: markPath(px(x), py(y), Math.max(5, r), kind), class: `frame-${kind}` })
      : drawn("circle", { cx: px(x).toFixed(1), cy: py(y).toFixed(1), r: r.toFixed(1), fill });
    explain(dot, words);
    svg.append(dot);
  });
  for (const at of ticks(x0, x1, 5)) svg.append(drawn("line", { x1: px(at), x2: px(at), y1: top + height + 6, y2: top + height + 10, class: "axis" }), drawn("text", { x: px(at), y: top + height + 21, "text-anchor": "middle" }, String(at)));
  for (const at of ticks(y0, y1, 5)) svg.append(drawn("line", { x1: left - 12, x2: left - 8, y1: py(at), y2: py(at), class: "axis" }), drawn("text", { x: left - 15, y: py(at) + 4, "text-anchor": "end" }, String(at)));
  const sides = frames.pixel_size_nm;
  svg.append(drawn("text", { x: left + width / 2, y: H - 4, "text-anchor": "middle" }, axisTitle("x", sides && sides[1])));
  svg.append(drawn("text", { x: 10, y: top + height / 2, "text-anchor": "middle", transform: `rotate(-90 10 ${top + height / 2})` }, axisTitle("y", sides && sides[0])));
  const parts = [svg, colourKey({ low, high, colours: "viridis", unit: "photons" })];
  if (frames.n_marked) parts.push(element("p", "▼ dark, ▲ far too bright: beyond the scale of colours"));
  if (frames.yx.length < frames.n) parts.push(element("p", `${frames.yx.length} of ${frames.n} exposures, evenly taken, and the marked ones`));
  return figureOf("Photons of each exposure over the field", ...parts);
}

const markPath = (x, y, r, kind) => (kind === "dark" ? `M${x - r},${y - r}h${2 * r}l${-r},${2 * r}z` : `M${x - r},${y + r}h${2 * r}l${-r},${-2 * r}z`);
