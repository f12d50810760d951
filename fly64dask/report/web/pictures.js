// Draws the pictures of cells to scale, and the gallery of their phases.

const PICTURES = {
  phase: "phase", phase_truth: "phase of the truth", phase_difference: "phase minus truth",
  amplitude: "amplitude", amplitude_truth: "amplitude of the truth", amplitude_difference: "amplitude minus truth",
  half_difference: "phase between the two half sets", illumination: "illumination of the object, and kept positions",
  probe_amplitude: "probe amplitude, all modes", probe_phase: "probe phase, first mode",
};
const TITLES = { ...PICTURES, mean_pattern: "mean pattern of all exposures" };
const RESOLUTION = "half_sets.resolution_px", RESOLUTION_NM = "half_sets.resolution_nm";
const HALF_BIT = "half_sets.half_bit.frequency_per_px";

const urlOf = (picture) => `data:image/png;base64,${RUN.images[picture.image]}`;

const sidesOf = (cell) => (cell.facts.pixel_size_nm ? JSON.parse(cell.facts.pixel_size_nm) : undefined);
const lengthText = (nm) => (nm >= 1000 ? `${significant(nm / 1000)} µm` : `${significant(nm)} nm`);
const axisTitle = (axis, side) => (side === undefined ? `${axis} (px)` : `${axis} (px of ${significant(side)} nm)`);

// A bar of a round length, at most a third of the width, in a corner of a picture of an object to scale.
function scaleBar(svg, { left, bottom, width, unit, side }) {
  const most = (width / 3 / unit) * side;
  const power = 10 ** Math.floor(Math.log10(most));
  const nm = [5, 2, 1].map((one) => one * power).find((one) => one <= most);
  const length = (nm / side) * unit;
  const [x, y] = [left + 8, bottom - 10];
  svg.append(drawn("rect", { x: x - 1, y: y - 1, width: length + 2, height: 6, class: "scalebar-edge" }));
  svg.append(drawn("rect", { x, y, width: length, height: 4, class: "scalebar" }));
  svg.append(drawn("text", { x: x + length / 2, y: y - 5, "text-anchor": "middle", class: "scaletext" }, lengthText(nm)));
}

function pictureFigure(picture, scan, sides, of = "") {
  const [left, top, bottom, bar] = [46, 6, 36, 62];
  const width = 300;
  const height = Math.max(60, Math.min(330, (width * picture.height_px) / picture.width_px));
  const drawnWidth = (height * picture.width_px) / picture.height_px;
  const [W, H] = [left + drawnWidth + bar, top + height + bottom];
  const unit = drawnWidth / picture.width_px;
  const x = (at) => left + (at - picture.x_px + 0.5) * unit, y = (at) => top + (at - picture.y_px + 0.5) * unit;
  const svg = drawn("svg", { viewBox: `0 0 ${W.toFixed(1)} ${H.toFixed(1)}`, role: "img", "aria-label": pictureWords(picture, of) });
  svg.style.maxWidth = `${W}px`;
  const image = drawn("image", { x: left, y: top, width: drawnWidth, height, preserveAspectRatio: "none", href: urlOf(picture) });
  image.style.imageRendering = "pixelated";
  svg.append(image, drawn("rect", { x: left, y: top, width: drawnWidth, height, class: "frame" }));
  for (const at of ticks(picture.x_px, picture.x_px + picture.width_px - 1, drawnWidth < 120 ? 2 : 4)) {
    svg.append(drawn("line", { x1: x(at), x2: x(at), y1: top + height, y2: top + height + 4, class: "axis" }));
    svg.append(drawn("text", { x: x(at), y: top + height + 15, "text-anchor": "middle" }, String(at)));
  }
  for (const at of ticks(picture.y_px, picture.y_px + picture.height_px - 1, height < 120 ? 2 : 4)) {
    svg.append(drawn("line", { x1: left - 4, x2: left, y1: y(at), y2: y(at), class: "axis" }));
    svg.append(drawn("text", { x: left - 6, y: y(at) + 4, "text-anchor": "end" }, String(at)));
  }
  svg.append(drawn("text", { x: left + drawnWidth / 2, y: H - 5, "text-anchor": "middle" }, axisTitle("x", sides && sides[1])));
  svg.append(drawn("text", { x: 10, y: top + height / 2, "text-anchor": "middle", transform: `rotate(-90 10 ${top + height / 2})` }, axisTitle("y", sides && sides[0])));
  const { low, high, colours } = picture.scale;
  for (let i = 0; i < 48; i += 1) {
    svg.append(drawn("rect", { x: left + drawnWidth + 10, y: top + (i * height) / 48, width: 10, height: height / 48 + 0.5, fill: colourOf(1 - (i + 0.5) / 48, colours) }));
  }
  for (const at of ticks(low, high, 4)) {
    const level = top + height * (1 - (at - low) / (high - low));
    svg.append(drawn("line", { x1: left + drawnWidth + 20, x2: left + drawnWidth + 23, y1: level, y2: level, class: "axis" }));
    svg.append(drawn("text", { x: left + drawnWidth + 25, y: level + 4 }, label(at)));
  }
  if (scan) drawPositions(svg, scan, x, y);
  if (sides) scaleBar(svg, { left, bottom: top + height, width: drawnWidth, unit, side: sides[1] });
  const parts = [svg];
  if (picture.block_px > 1) parts.push(element("p", `averaged over ${picture.block_px} x ${picture.block_px} px to keep the page small`));
  if (scan) parts.push(element("p", scan.yx.length < scan.n ? `${scan.yx.length} of ${scan.n} kept positions, evenly taken` : `${scan.n} kept positions`));
  return figureOf(withUnit(TITLES[picture.key], picture.scale.unit), ...parts);
}

function pictureWords({ key, height_px, width_px, scale }, of) {
  const ends = [scale.low, scale.high].map((value) => `${significant(value)}${scale.unit ? ` ${scale.unit}` : ""}`);
  return `${TITLES[key]}${of && ` of ${of}`}: ${height_px} x ${width_px} px, colours from ${ends.join(" to ")}`;
}

function drawPositions(svg, scan, x, y) {
  const r = scan.yx.length > 400 ? 0.9 : scan.yx.length > 60 ? 1.8 : 3;
  const d = scan.yx.map(([atY, atX]) => `M${(x(atX) - r).toFixed(1)},${y(atY).toFixed(1)}a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0`).join("");
  const dots = drawn("path", { d, fill: "#56b4e9", class: "positions" });
  if (r > 1) {
    dots.setAttribute("stroke", "#111");
    dots.setAttribute("stroke-width", "0.6");
  }
  svg.append(dots);
}

// ---- gallery -----------------------------------------------------------------------------------------------------
function showGallery() {
  const shown = RUN.cells.filter((cell) => pictureOf(cell, "phase"));
  const scale = shown.length && pictureOf(shown[0], "phase").scale;
  byId("gallerynote").textContent = scale
    ? "Shown inside the illuminated area, aligned to the truth if there is one, on one scale." : "No cell has a phase to show yet.";
  if (scale) byId("gallery").insertBefore(colourKey({ ...scale, unit: withUnit("phase", scale.unit) }), byId("thumbs"));
  const thumbs = byId("thumbs");
  thumbs.style.setProperty("--columns", RUN.views.length * RUN.splits.length);
  const buttons = [];
  thumbs.append(element("span"));
  for (const view of RUN.views) for (const split of RUN.splits) thumbs.append(element("span", `${view} ${split}`, "head top"));
  for (const dose of RUN.doses) {
    for (const section of RUN.sections) {
      const row = [];
      thumbs.append(element("span", titled(shortDose(dose), section), "head"));
      for (const view of RUN.views) {
        for (const split of RUN.splits) {
          const place = placeOf(dose, view, split, section);
          const thumb = place ? thumbOf(place) : null;
          thumbs.append(thumb || element("span"));
          row.push(thumb);
        }
      }
      buttons.push(row);
    }
  }
  walkable(thumbs, () => buttons);
}

function resolutionOf(cell) {
  const [px, nm] = [cell.numbers[RESOLUTION], cell.numbers[RESOLUTION_NM]];
  if (px === undefined) return "";
  // Half sets that agree up to Nyquist do not cross the half-bit threshold.
  const finest = cell.numbers[HALF_BIT] === undefined ? "≤ " : "";
  return `${finest}${significant(px)} px${nm === undefined ? "" : ` = ${lengthText(nm)}`}`;
}

const pictureOf = (cell, key) => cell.pictures.find((picture) => picture.key === key);

function thumbOf(place) {
  const cells = cellsOf(place);
  const cell = cells.find((one) => pictureOf(one, "phase")) || cells[0];
  const picture = pictureOf(cell, "phase");
  const button = element("button", undefined, `thumb ${cell.state}`);
  button.type = "button";
  const gap = element("span", picture ? "" : cell.state === "completed" ? "no picture" : `${SIGNS[cell.state]} ${cell.kind || cell.state}`, "gap");
  const error = cell.numbers[ERROR];
  const words = [cell.numbers.n_kept === undefined ? "" : `n = ${cell.numbers.n_kept}`, error === undefined ? resolutionOf(cell) : `${significant(error)} rad`, place.marks.join(" ")];
  button.append(gap, element("small", words.filter(Boolean).join(", ") || cell.state));
  if (picture) {
    whenSeen(gap, () => {
      const image = element("img");
      image.alt = "";
      image.src = urlOf(picture);
      gap.replaceWith(image);
    });
  }
  const said = [cell.name, ...words].filter(Boolean).join("\n");
  button.setAttribute("aria-label", picture ? `phase of ${said}` : `${gap.textContent}: ${said}`);
  explain(button, () => said);
  button.addEventListener("click", () => choose(cell.name, true));
  return button;
}
