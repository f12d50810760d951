// Draws elements, words that appear on hovering, colours and charts: what the pages of a run and of several runs
// share. `RUN` is the content that the page carries; what comes from a run is only ever set as text.

const RUN = JSON.parse(document.getElementById("data").textContent);
const SIGNS = RUN.state_signs;
const SVG = "http://www.w3.org/2000/svg";
// Colours of the style sheet, which has others for a dark page.
const INKS = [0, 1, 2, 3, 4, 5].map((i) => `var(--ink${i})`);
const ARROW_STEPS = 40; // of an arrow key, from one end of a curve to the other

const byId = (id) => document.getElementById(id);
const quantityByKey = new Map(RUN.quantities.map((one) => [one.key, one]));

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function drawn(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// A number and its noun, in the plural unless there is one; `plural` is given where that is more than an s at the end.
const counted = (number, words, plural = `${words}s`) => `${number} ${number === 1 ? words : plural}`;

function significant(value, digits = 3) {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const text = value.toPrecision(digits);
  return text.includes("e") ? value.toExponential(digits - 1) : text;
}

const shortDose = (name) => {
  const photons = name.replace(/^dose_/, "");
  return Number.isInteger(Number(photons)) || Number.isNaN(Number(photons)) ? photons : Number(photons).toPrecision(4);
};
const withUnit = (text, unit) => (unit ? `${text} (${unit})` : text);

// ---- what appears on hovering, and on focus ----------------------------------------------------------------------
function explain(target, words) {
  const show = (x, y) => {
    const tip = byId("tip");
    tip.textContent = words();
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 8))}px`;
    tip.style.top = `${y + 18 + height > innerHeight ? Math.max(4, y - height - 10) : y + 18}px`;
  };
  target.addEventListener("mousemove", (event) => show(event.clientX, event.clientY));
  target.addEventListener("focus", () => {
    const box = target.getBoundingClientRect();
    show(box.left, box.bottom - 10);
  });
  for (const name of ["mouseleave", "blur"]) target.addEventListener(name, () => { byId("tip").hidden = true; });
}

// What waits to be seen; paper shows all of it.
const unseen = new Map();

function whenSeen(target, draw) {
  const watcher = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) see(); }, { rootMargin: "200px" });
  const see = () => {
    watcher.disconnect();
    unseen.delete(target);
    draw(target);
  };
  unseen.set(target, see);
  watcher.observe(target);
}

addEventListener("beforeprint", () => { for (const see of [...unseen.values()]) see(); });
addEventListener("keydown", ({ key }) => { if (key === "Escape") byId("tip").hidden = true; });

// ---- colours -----------------------------------------------------------------------------------------------------
function colourOf(share, name) {
  const colours = RUN.colours[name];
  return colours[Math.round(Math.min(1, Math.max(0, share)) * (colours.length - 1))];
}

// Black and white have the same contrast, 4.58, on a ground of this relative luminance (WCAG 2.2).
const INK_LUMINANCE = 0.179;

function inkOn(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > INK_LUMINANCE ? "#000" : "#fff";
}

const label = (value) => (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3) ? Number(value.toPrecision(3)).toExponential() : String(Number(value.toPrecision(4))));

function ticks(low, high, most = 5) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) found.push(i * step);
  return found.map((value) => Number(value.toPrecision(10)));
}

function colourKey({ low, high, colours, unit, log }) {
  const box = element("div", undefined, "key");
  const svg = drawn("svg", { width: 220, height: 30, viewBox: "0 0 220 30", role: "img", "aria-label": `colours from ${label(low)} to ${label(high)}` });
  const steps = 60;
  for (let i = 0; i < steps; i += 1) {
    svg.append(drawn("rect", { x: 10 + (i * 200) / steps, y: 0, width: 200 / steps + 0.6, height: 10, fill: colourOf((i + 0.5) / steps, colours) }));
  }
  const at = log ? [low, Math.sqrt(low * high), high].map((value) => Number(value.toPrecision(2))) : ticks(low, high, 4).length > 1 ? ticks(low, high, 4) : [low, high];
  at.forEach((value) => {
    const share = log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    const x = 10 + 200 * share;
    const anchor = x < 25 ? "start" : x > 195 ? "end" : "middle";
    svg.append(drawn("line", { x1: x, x2: x, y1: 10, y2: 14, class: "axis" }));
    svg.append(drawn("text", { x, y: 26, "text-anchor": anchor }, label(value)));
  });
  box.append(svg, unit || "");
  return box;
}

// ---- charts ------------------------------------------------------------------------------------------------------
function chart({ title, x, y, series, low, high, level, logX = false, logY = false, marks = [] }) {
  const [W, H, left, right, top, bottom] = [420, 250, 58, 12, 10, 40];
  const xs = series.flatMap((one) => one.x), ys = series.flatMap((one) => one.y).filter((value) => value !== null);
  let [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  let [y0, y1] = [low ?? Math.min(...ys, level ?? Infinity), high ?? Math.max(...ys, level ?? -Infinity)];
  if (logX) [x0, x1] = [x0 / 1.15, x1 * 1.15];
  if (logY) [y0, y1] = [y0 / 1.15, y1 * 1.15];
  if (x0 === x1) [x0, x1] = logX ? [x0 / 2, x1 * 2] : [x0 - 0.5, x1 + 0.5];
  if (y0 === y1) [y0, y1] = logY ? [y0 / 2, y1 * 2] : [y0 - Math.abs(y0 || 1) / 2, y1 + Math.abs(y1 || 1) / 2];
  if (low === undefined && !logY) [y0, y1] = [y0 - 0.04 * (y1 - y0), y1 + 0.04 * (y1 - y0)];
  const place = (value, a, b, log) => (log ? Math.log(value / a) / Math.log(b / a) : (value - a) / (b - a));
  const px = (value) => left + (W - left - right) * place(value, x0, x1, logX);
  const py = (value) => H - bottom - (H - top - bottom) * place(value, y0, y1, logY);
  const name = `${title}: ${series.map((one) => one.name).join(", ")}; ${y} over ${x}`;
  const svg = drawn("svg", { viewBox: `0 0 ${W} ${H}`, role: series.some((one) => one.names) ? "group" : "img", "aria-label": name });
  const dots = [];
  for (const value of logX ? decades(x0, x1) : ticks(x0, x1)) {
    svg.append(drawn("line", { x1: px(value), x2: px(value), y1: top, y2: H - bottom, class: "grid" }));
    svg.append(drawn("text", { x: px(value), y: H - bottom + 14, "text-anchor": "middle" }, label(value)));
  }
  for (const value of logY ? decades(y0, y1) : ticks(y0, y1)) {
    svg.append(drawn("line", { x1: left, x2: W - right, y1: py(value), y2: py(value), class: "grid" }));
    svg.append(drawn("text", { x: left - 5, y: py(value) + 4, "text-anchor": "end" }, label(value)));
  }
  svg.append(drawn("path", { d: `M${left},${top}V${H - bottom}H${W - right}`, class: "axis" }));
  svg.append(drawn("text", { x: (left + W - right) / 2, y: H - 6, "text-anchor": "middle" }, x));
  svg.append(drawn("text", { x: 12, y: (top + H - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(top + H - bottom) / 2})` }, y));
  for (const { value, name } of marks) {
    if (value < x0 || value > x1) continue;
    svg.append(drawn("line", { x1: px(value), x2: px(value), y1: top, y2: H - bottom, class: "axis", "stroke-dasharray": "4 3" }));
    const isLeft = px(value) < (left + W - right) / 2;
    svg.append(drawn("text", { x: px(value) + (isLeft ? 4 : -4), y: top + 11, "text-anchor": isLeft ? "start" : "end" }, name));
  }
  if (level !== undefined) svg.append(drawn("line", { x1: left, x2: W - right, y1: py(level), y2: py(level), class: "axis", "stroke-dasharray": "4 3" }));
  series.forEach((one, i) => {
    const points = one.x.map((value, k) => [px(value), one.y[k] === null ? null : py(one.y[k]), k]).filter(([, at]) => at !== null);
    if (one.dots) {
      for (const [cx, cy, k] of points) {
        const dot = drawn("circle", { cx, cy, r: 5, fill: INKS[one.ink ?? i], "fill-opacity": 0.75, class: "dot" });
        pressable(dot, one.words[k], () => choose(one.names[k], true));
        svg.append(dot);
        dots.push([cx, dot]);
      }
    } else {
      const d = points.map(([a, b], k) => `${k ? "L" : "M"}${a.toFixed(1)},${b.toFixed(1)}`).join("");
      svg.append(drawn("path", { d, class: "line", stroke: strokeOf(one, i), "stroke-dasharray": DASHES[(one.dash ?? i) % DASHES.length] }));
    }
  });
  const fromLeft = dots.sort(([a], [b]) => a - b).map(([, dot]) => dot);
  walkable(svg, () => [fromLeft]);
  if (series.some((one) => !one.dots)) followPointer(svg, series, { left, right, W, x0, x1, x });
  return svg;
}

function followPointer(svg, series, { left, right, W, x0, x1, x }) {
  let at = x0;
  svg.addEventListener("mousemove", (event) => {
    const box = svg.getBoundingClientRect();
    at = x0 + (((event.clientX - box.left) * W) / box.width - left) / (W - left - right) * (x1 - x0);
  }, true);
  svg.setAttribute("tabindex", 0);
  svg.addEventListener("keydown", (event) => {
    if (!STEPS[event.key] || !STEPS[event.key][1]) return;
    event.preventDefault();
    at = Math.min(x1, Math.max(x0, at + STEPS[event.key][1] * (x1 - x0) / ARROW_STEPS));
    svg.dispatchEvent(new FocusEvent("focus"));
  });
  explain(svg, () => series.filter((one) => one.x.length).map((one, i) => {
    const k = one.x.reduce((best, value, j) => (Math.abs(value - at) < Math.abs(one.x[best] - at) ? j : best), 0);
    const value = one.y[k] === null ? "not known" : significant(one.y[k], 4);
    return `${i ? "" : `${x}: ${significant(one.x[k], 4)}\n`}${one.name}: ${value}`;
  }).join("\n"));
}

// Thresholds are grey: no curve of the data has their colour.
const strokeOf = (one, i) => (one.grey ? "var(--faint)" : INKS[i % INKS.length]);

function decades(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const one of high / low > 100 ? [1] : [1, 2, 5]) found.push(one * 10 ** power);
  }
  const inside = found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  return inside.length > 1 ? inside.map((value) => Number(value.toPrecision(6))) : ticks(low, high);
}

function figureOf(title, ...parts) {
  const figure = element("figure");
  figure.append(element("h3", title), ...parts);
  return figure;
}

function factTable(title, facts) {
  const box = element("div", undefined, "fact");
  const table = element("table", undefined, "plain");
  for (const [name, value] of facts) {
    const row = table.insertRow();
    row.append(heading(name, "row"), element("td", value));
  }
  box.append(element("h3", title), table);
  return scrollable(box, title);
}
