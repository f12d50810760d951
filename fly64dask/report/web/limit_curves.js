// Draws for each target what each dose gave, with its limits: a chart for each split, and the key of its lines.

const SHAPES = ["circle", "square", "triangle", "diamond", "cross"];
const DASHES = ["none", "6 3", "2 2", "8 3 2 3"];

// Colours tell views apart and dashes recipes and setups; of one view and of several runs colours tell these apart.
const isByView = () => RUN.views.length > 1 && !hasRuns();

function lookOf({ view, ...method }) {
  const made = allMethods().indexOf(madeBy(method));
  const ink = isByView() ? RUN.views.indexOf(view) : made;
  return {
    // Where colours begin anew, marks do not.
    ink: INKS[ink % INKS.length], shape: SHAPES[(ink + Math.floor(ink / INKS.length)) % SHAPES.length],
    dash: DASHES[(isByView() ? made : 0) % DASHES.length],
  };
}
const allMethods = () => [...new Set(RUN.answer.answer.targets.flatMap((target) => target.curves.map(madeBy)))];

function markShape(shape, x, y, r, attributes) {
  const d = {
    circle: `M${x - r},${y}a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0z`,
    square: `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    triangle: `M${x},${y - 1.2 * r}l${1.15 * r},${2 * r}h${-2.3 * r}z`,
    diamond: `M${x},${y - 1.3 * r}l${1.3 * r},${1.3 * r}l${-1.3 * r},${1.3 * r}l${-1.3 * r},${-1.3 * r}z`,
    cross: `M${x - r},${y - r}l${2 * r},${2 * r}m0,${-2 * r}l${-2 * r},${2 * r}`,
  }[shape];
  return drawn("path", { d, ...attributes });
}

function limitKey(target) {
  const across = (attributes) => drawn("line", { x1: 0, x2: 26, y1: 6, y2: 6, ...attributes });
  const curve = (name, { ink, shape }) => ({ name, marks: [across({ stroke: ink, class: "line" }), markShape(shape, 13, 6, 4, { stroke: ink, class: "point" })] });
  const dashed = (name, { dash }) => ({ name, marks: [across({ stroke: "currentColor", class: "line", "stroke-dasharray": dash })] });
  const byMethod = target.curves.filter((one, i, all) => all.findIndex((other) => madeBy(other) === madeBy(one)) === i);
  const items = isByView()
    ? [...RUN.views.map((view) => curve(view, lookOf({ ...target.curves[0], view }))), ...(byMethod.length > 1 ? byMethod.map((one) => dashed(madeBy(one), lookOf(one))) : [])]
    : byMethod.map((one) => curve(madeBy(one) || one.view, lookOf(one)));
  items.push({ name: `target ${goalOf(target)} ${unitOf(target)}`, marks: [across({ class: "goal" })] });
  if (hasFloor(target)) items.push({ name: "without noise", marks: [across({ class: "floor", stroke: "currentColor" })] });
  items.push({ name: isResolution(target) ? "fluence ∝ size⁻⁴" : "∝ 1 / √fluence", marks: [across({ class: "guide" })] });
  return items;
}

const isResolution = (target) => target.target.resolution_px !== undefined || target.target.resolution_nm !== undefined;
const hasFloor = (target) => target.target.error_over_floor === undefined && target.curves.some((curve) => curve.noise_free !== undefined);
const goalOf = ({ target }) => target.resolution_px ?? target.resolution_nm ?? target.phase_error_rad ?? target.error_over_floor;

function unitOf({ target }) {
  if (target.error_over_floor !== undefined) return "x the floor";
  return target.phase_error_rad !== undefined ? "rad" : target.resolution_nm !== undefined ? "nm" : "px";
}

// Side of a pixel in nm at some light, from its two fluences; undefined where it is not known.
function sideOf(light) {
  const [ofPx, ofNm] = [light.fluence_photons_per_px2, light.fluence_photons_per_nm2];
  return ofPx > 0 && ofNm > 0 ? Number(Math.sqrt(ofPx / ofNm).toPrecision(6)) : undefined;
}

// The sides of the pixels of all runs: one, or several where px of one run are not those of another.
function sidesNm() {
  const ofRun = new Map();
  for (const { curves } of RUN.answer.answer.targets) {
    for (const { run_name, points } of curves) for (const { light } of points) ofRun.set(run_name, ofRun.get(run_name) ?? sideOf(light));
  }
  return [...new Set(ofRun.values())];
}

function limitFigure(target, { split, view }, curves, doseBy) {
  const title = [view, RUN.splits.length > 1 ? split : !view && (isResolution(target) ? "resolution" : "phase error")].filter(Boolean).join(", ");
  const unit = unitOf(target);
  // A study of one setup has the columns that it always had.
  const ofSetups = (text) => (curves.some((each) => each.setup_name) ? [text] : []);
  const ofRuns = (text) => (hasRuns() ? [text] : []);
  const rows = [[...ofRuns("run"), "view", "split", "recipe", ...ofSetups("setup"), "cell", RUN.dose_unit, "fluence (photons/px²)", `${isResolution(target) ? "resolution" : "phase error"} (${unit})`]];
  for (const curve of curves) {
    for (const point of curve.points) {
      point.cells.forEach((cell, k) => rows.push([...ofRuns(curve.run_name), curve.view, split, curve.recipe_name || "", ...ofSetups(curve.setup_name), cell, point.light.dose, point.light.fluence_photons_per_px2 ?? "", point.values[k]]));
    }
  }
  if (rows.length === 1) return figureOf(title, element("p", "nothing measured"));
  const slopes = curves.filter((curve) => curve.slopeWords).map((curve) => `${[curve.view, madeBy(curve)].filter(Boolean).join(" ")} ${curve.slopeWords}`);
  const caption = slopes.length ? [element("p", `slope ± 95 %: ${slopes.join(", ")}`)] : [];
  if (sidesNm().length > 1 && target.target.resolution_px !== undefined) caption.push(element("p", "pixels of these runs differ: px are those of each run"));
  const name = [RUN.study, goalOf(target), unit, ...(view ? [view] : []), split].join(" ");
  return saveable(name, rows, title, limitChart(target, { split, view }, curves, doseBy), limitKey(target), ...caption);
}

function limitChart(target, { split, view }, shown, doseBy) {
  const sides = sidesNm(), [side] = sides.length === 1 ? sides : [];
  const field = sides.length > 1 ? "fluence_photons_per_nm2" : "fluence_photons_per_px2";
  const hasFluence = shown.every((curve) => curve.points.every((point) => point.light[field] > 0));
  const curves = shown.map((curve) => ({ ...curve, xOf: hasFluence ? fluenceIn(field, curve) : (light) => light.dose }));
  const topNm = side !== undefined && hasFluence, rightNm = side !== undefined && target.target.resolution_px !== undefined;
  const [W, H, left, right, top, bottom] = [310, 214, 44, rightNm ? 42 : 8, topNm ? 30 : 6, 36];
  const goal = goalOf(target), floors = hasFloor(target) ? curves.map((curve) => curve.noise_free).filter((one) => one !== undefined) : [];
  const points = curves.flatMap((curve) => curve.points);
  const xs = curves.flatMap((curve) => curve.points.map((point) => curve.xOf(point.light))), ys = [goal, ...floors, ...points.flatMap((point) => point.values)];
  const [x0, x1, y0, y1] = [Math.min(...xs) / 1.4, Math.max(...xs) * 1.4, Math.min(...ys) / 1.2, Math.max(...ys) * 1.2];
  const px = (value) => left + (W - left - right) * Math.log(value / x0) / Math.log(x1 / x0);
  const py = (value) => H - bottom - (H - top - bottom) * Math.log(value / y0) / Math.log(y1 / y0);
  const unit = unitOf(target), name = isResolution(target) ? "resolution" : "phase error";
  const svg = drawn("svg", { viewBox: `0 0 ${W} ${H}`, role: "group", "aria-label": `${name} of ${view ? `${view}, ${split}` : RUN.splits.length > 1 ? split : "each view"} over ${hasFluence ? "fluence" : "dose"}: ${target.words}` });
  const text = (x, y, words, anchor = "middle") => svg.append(drawn("text", { x, y, "text-anchor": anchor }, words));
  const upright = (x, words) => svg.append(drawn("text", { x, y: (top + H - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 ${x} ${(top + H - bottom) / 2})` }, words));
  for (const value of decades(x0, x1)) {
    svg.append(drawn("line", { x1: px(value), x2: px(value), y1: top, y2: H - bottom, class: "grid" }));
    text(px(value), H - bottom + 13, label(value));
  }
  for (const value of decades(y0, y1)) {
    svg.append(drawn("line", { x1: left, x2: W - right, y1: py(value), y2: py(value), class: "grid" }));
    text(left - 4, py(value) + 4, label(value), "end");
  }
  svg.append(drawn("path", { d: `M${left},${top}V${H - bottom}H${W - right}`, class: "axis" }));
  text((left + W - right) / 2, H - 6, hasFluence ? `fluence (photons/${field.endsWith("nm2") ? "nm" : "px"}²)` : withUnit("dose", RUN.dose_unit));
  upright(11, `${name} (${unit})`);
  if (topNm) {
    const area = side * side;
    for (const value of decades(x0 / area, x1 / area)) text(px(value * area), top - 4, label(value));
    text((left + W - right) / 2, 10, "fluence (photons/nm²)");
  }
  if (rightNm) {
    for (const value of decades(y0 * side, y1 * side)) text(W - right + 4, py(value / side) + 4, label(value), "start");
    upright(W - 5, `${name} (nm)`);
  }
  drawGuide(svg, target, curves, { px, py, x0, x1, y0, y1 });
  for (const curve of curves) drawCurve(svg, target, curve, { px, py, left, edge: W - right });
  svg.append(drawn("line", { x1: left, x2: W - right, y1: py(goal), y2: py(goal), class: "goal" }));
  for (const curve of curves) drawCrossing(svg, target, curve, { px, x0, x1, y: py(goal) });
  const marks = curves.map((curve) => drawPoints(svg, curve, { px, py, unit, name, doseBy }));
  walkable(svg, () => marks);
  return svg;
}

// What the fluence is at some light of a curve; lines have it for pixels alone.
function fluenceIn(field, curve) {
  const side = curve.points.length ? sideOf(curve.points[0].light) : undefined;
  return (light) => light[field] ?? light.fluence_photons_per_px2 / (side * side);
}

// How shot noise alone lowers the number, through the lowest dose of the curve that ends lowest.
function drawGuide(svg, target, curves, { px, py, x0, x1, y0, y1 }) {
  const known = curves.map((curve) => curve.points.filter((point) => point.level !== undefined).map(({ light, level }) => ({ x: curve.xOf(light), level }))).filter((points) => points.length);
  if (!known.length) return;
  const [first] = known.reduce((best, points) => (points[points.length - 1].level < best[best.length - 1].level ? points : best));
  const power = isResolution(target) ? -0.25 : -0.5;
  const at = (x) => first.level * (x / first.x) ** power;
  const back = (y) => first.x * (y / first.level) ** (1 / power);
  const [from, to] = [Math.max(x0, back(y1)), Math.min(x1, back(y0))];
  if (from < to) svg.append(drawn("line", { x1: px(from), y1: py(at(from)), x2: px(to), y2: py(at(to)), class: "guide" }));
}

function drawCurve(svg, target, curve, { px, py, left, edge }) {
  const { ink, dash } = lookOf(curve);
  if (curve.noise_free !== undefined && hasFloor(target)) {
    svg.append(drawn("line", { x1: left, x2: edge, y1: py(curve.noise_free), y2: py(curve.noise_free), class: "floor", stroke: ink }));
  }
  const d = curve.line.map((one, k) => `${k ? "L" : "M"}${px(curve.xOf(one)).toFixed(1)},${py(one.level).toFixed(1)}`).join("");
  if (d) svg.append(drawn("path", { d, class: "line", stroke: ink, "stroke-dasharray": dash }));
}

function drawCrossing(svg, target, curve, { px, x0, x1, y }) {
  const { limit } = curve;
  if (limit.outcome !== "reached" || !limit.lowest) return;
  const { ink, shape } = lookOf(curve);
  if (limit.interval) {
    const low = limit.interval.low ? curve.xOf(limit.interval.low) : x0, high = limit.interval.high ? curve.xOf(limit.interval.high) : x1;
    svg.append(drawn("line", { x1: px(low), x2: px(high), y1: y, y2: y, class: "interval", stroke: ink }));
  }
  const mark = markShape(shape, px(curve.xOf(limit.lowest)), y, 4.5, { fill: ink, stroke: ink });
  explain(mark, () => curve.sentence);
  svg.append(mark);
}

function drawPoints(svg, curve, { px, py, unit, name, doseBy }) {
  const marks = [];
  const { ink, shape } = lookOf(curve);
  for (const point of curve.points) {
    point.values.forEach((value, k) => {
      const mark = markShape(shape, px(curve.xOf(point.light)), py(value), 3.4, { class: "point", stroke: ink });
      const lines = [[curve.run_name, point.cells[k]].filter(Boolean).join(": "), `${name}: ${significant(value)} ${unit}`, `${significant(point.light.photons_per_exposure)} photons per exposure`];
      if (point.light.fluence_photons_per_px2 !== undefined) lines.push(`${significant(point.light.fluence_photons_per_px2)} photons/px²`);
      if (point.light.fluence_photons_per_nm2 !== undefined) lines.push(`${significant(point.light.fluence_photons_per_nm2)} photons/nm²`);
      if (doseBy === "total") lines.push(`${significant(point.light.dose)} photons in total`);
      if (point.n_failed) lines.push(`${counted(point.n_failed, "repeat")} failed`);
      pressable(mark, lines.join("\n"), () => choose(point.cells[k], true, curve.run_name));
      svg.append(mark);
      marks.push(mark);
    });
  }
  return marks;
}
