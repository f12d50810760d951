// Keeps figures of the page as SVG or PNG, in the colours of a light page and with their legend, and numbers as CSV.

const seriesTable = (x, series) => [["curve", x, "value"], ...series.flatMap((one) => one.x.map((value, k) => [one.name, value, one.y[k] ?? ""]))];

// A figure with links to keep it and its numbers. `key` are the entries of its legend, which the kept figure has too.
function saveable(name, rows, title, svg, key, ...parts) {
  const figure = figureOf(title, svg, ...parts);
  const file = name.replace(/[^\w.+-]+/g, "-").replace(/^-|-$/g, "");
  const links = element("p", undefined, "export");
  const link = (text, make) => {
    const button = element("button", text);
    button.type = "button";
    button.setAttribute("aria-label", `${text} of ${name}`);
    button.addEventListener("click", () => make((url) => {
      const anchor = element("a");
      anchor.href = url;
      anchor.download = `${file}.${text.toLowerCase()}`;
      anchor.click();
    }));
    links.append(button);
  };
  link("SVG", (keep) => keep(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(svg, key))}`));
  link("PNG", (keep) => asPng(svg, key, keep));
  link("CSV", (keep) => keep(`data:text/csv;charset=utf-8,${encodeURIComponent(csvText(rows))}`));
  figure.append(links, foldedNumbers(rows, name));
  return figure;
}

const csvText = (rows) => rows.map((row) => row.map((one) => (/[",\n]/.test(String(one)) ? `"${String(one).replaceAll('"', '""')}"` : one)).join(",")).join("\r\n");

// ---- legends ------------------------------------------------------------------------------------------------------
const [KEY_WIDTH, KEY_HEIGHT, LETTER] = [26, 12, 6.2]; // of an entry's drawing, and of a letter at 11 px

function entriesOf(series) {
  return series.map((one, i) => {
    const stroke = strokeOf(one, one.ink ?? i);
    const mark = one.dots ? drawn("circle", { cx: 13, cy: 6, r: 4.5, fill: stroke })
      : drawn("line", { x1: 0, x2: KEY_WIDTH, y1: 6, y2: 6, class: "line", stroke, "stroke-dasharray": DASHES[(one.dash ?? i) % DASHES.length] });
    return { name: one.name, marks: [mark] };
  });
}

function legend(key) {
  const box = element("div", undefined, "legend");
  for (const { name, marks } of key) {
    const svg = drawn("svg", { width: KEY_WIDTH, height: KEY_HEIGHT, viewBox: `0 0 ${KEY_WIDTH} ${KEY_HEIGHT}`, "aria-hidden": "true" });
    svg.append(...marks);
    const item = element("span");
    item.append(svg, ` ${name}`);
    box.append(item);
  }
  return box;
}

// Write a legend below a figure of this width, as many entries in a line as it has room for; gives the height.
function drawKey(svg, key, width, top) {
  let [x, y] = [8, top];
  for (const { name, marks } of key) {
    const room = KEY_WIDTH + 6 + LETTER * name.length;
    if (x > 8 && x + room > width) [x, y] = [8, y + 16];
    const entry = drawn("g", { transform: `translate(${x} ${y})` });
    entry.append(...marks.map((mark) => mark.cloneNode(true)), drawn("text", { x: KEY_WIDTH + 4, y: 10 }, name));
    svg.append(entry);
    x += room + 10;
  }
  return y + 18;
}

// The figure's source with its legend, and with the styles of a light page written into it, whatever the page's own.
function standalone(svg, key) {
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const paper = element("div", undefined, "paper");
  const copy = svg.cloneNode(true);
  paper.append(copy);
  document.body.append(paper);
  const tall = key.length > 1 ? drawKey(copy, key, width, height + 4) : height;
  for (const each of [copy, ...copy.querySelectorAll("*")]) {
    const style = getComputedStyle(each);
    const written = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family"].map((name) => [name, style.getPropertyValue(name)]);
    written.forEach(([name, value]) => each.setAttribute(name, value));
  }
  copy.setAttribute("role", "img");
  for (const each of copy.querySelectorAll("[role]")) for (const name of ["tabindex", "role", "aria-label"]) each.removeAttribute(name);
  // Last of all, as styles are found by classes.
  for (const each of [copy, ...copy.querySelectorAll("*")]) each.removeAttribute("class");
  paper.remove();
  copy.setAttribute("xmlns", SVG);
  copy.setAttribute("viewBox", `0 0 ${width} ${tall}`);
  copy.setAttribute("width", width);
  copy.setAttribute("height", tall);
  copy.prepend(drawn("rect", { width, height: tall, fill: "#ffffff" }));
  return new XMLSerializer().serializeToString(copy);
}

const PNG_SCALE = 4;

function asPng(svg, key, keep) {
  const image = new Image();
  image.onload = () => {
    const canvas = element("canvas");
    [canvas.width, canvas.height] = [image.width * PNG_SCALE, image.height * PNG_SCALE];
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    keep(canvas.toDataURL("image/png"));
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(svg, key))}`;
}

