// Line charts as inline SVG: axes with units and round ticks, bands behind, gaps where nothing is known.

import { drawn } from "./dom.js";
import { count } from "./format.js";

const ABOVE = 10;
const BELOW = 22;
// Of the axis' font, so that labels fit beside the plot.
const CHARACTER = 6.8;

/** Round numbers from 0 to at least `most`, some `wanted` of them. */
export function ticks(most, wanted) {
  if (!(most > 0)) return [0, 1];
  const rough = most / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((candidate) => candidate >= rough);
  const marks = [];
  for (let mark = 0; mark < most + step * 0.999; mark += step) marks.push(Number(mark.toPrecision(6)));
  return marks;
}

/**
 * An <svg> of `width` by `height`.
 *
 * series: [{points: [[x, y or null]], look: "first" | "second" | "third" | "good" | "bad", area, step}]
 * room: the characters beside the plot, at least.
 * x: {from, to, marks: [{at, label}]}; y: {most, unit}; bands: [{from, to, label}]; name: what a screen reader says.
 */
export function lineChart({ width, height, series, x, y, bands = [], room = 0, name }) {
  // A line at the very top would run through the band's words.
  const marks = ticks(bands.length ? y.most * 1.2 : y.most, height < 130 ? 2 : 3);
  const top = marks[marks.length - 1];
  const labels = marks.map((mark, at) => (at === marks.length - 1 && y.unit ? `${count(mark)} ${y.unit}` : count(mark)));
  const left = Math.ceil(Math.max(room, ...labels.map((label) => label.length)) * CHARACTER) + 8;
  const plot = { left, right: width - 8, top: ABOVE, bottom: height - BELOW };
  const across = (value) => plot.left + ((value - x.from) / (x.to - x.from || 1)) * (plot.right - plot.left);
  const up = (value) => plot.bottom - (Math.min(value, top) / top) * (plot.bottom - plot.top);
  const svg = drawn("svg", { class: "chart", role: "img", "aria-label": name, width, height, viewBox: `0 0 ${width} ${height}` });
  for (const band of bands) svg.append(...drawnBand(band, plot, across));
  marks.forEach((mark, at) => {
    const height = up(mark);
    svg.append(
      drawn("line", { class: mark === 0 ? "axis" : "grid", x1: plot.left, x2: plot.right, y1: height, y2: height }),
      drawn("text", { class: "tick", x: plot.left - 6, y: height + 4, "text-anchor": "end", text: labels[at] }),
    );
  });
  svg.append(...placed(x.marks, across, plot).map(({ label, middle }) =>
    drawn("text", { class: "tick", x: middle, y: height - 6, "text-anchor": "middle", text: label })));
  for (const one of series) svg.append(...drawnSeries(one, across, up, plot.bottom));
  return svg;
}

/** A stroke that looks as the line it names, for a legend. */
export function keyMark(look) {
  const line = drawn("path", { class: `line ${look}`, d: "M0 4H22" });
  return drawn("svg", { class: "key-mark", viewBox: "0 0 22 8", width: 22, height: 8, "aria-hidden": "true" }, line);
}

/** The labels below the axis, inside of the plot; one that would touch its right neighbour is left out. */
function placed(marks, across, plot) {
  const kept = [];
  let free = plot.right + CHARACTER;
  for (const { at, label } of marks.toReversed()) {
    const half = (label.length * CHARACTER) / 2;
    const middle = Math.max(Math.min(across(at), plot.right - half), plot.left + half - CHARACTER / 2);
    if (middle + half + CHARACTER > free) continue;
    kept.push({ label, middle });
    free = middle - half;
  }
  return kept;
}

function drawnBand(band, plot, across) {
  const [from, to] = [Math.max(across(band.from), plot.left), Math.min(across(band.to), plot.right)];
  const tall = plot.bottom - plot.top;
  const box = drawn("rect", { class: "band", x: from, y: plot.top, width: Math.max(to - from, 0), height: tall });
  const fits = band.label && (band.label.length + 1) * CHARACTER < to - from;
  return fits ? [box, drawn("text", { class: "band-label", x: from + 6, y: plot.top + 13, text: band.label })] : [box];
}

function drawnSeries({ points, look, area, step }, across, up, bottom) {
  const shapes = [];
  for (const stretch of stretches(points)) {
    let line = "";
    stretch.forEach(([x, y], at) => {
      const [right, high] = [across(x).toFixed(1), up(y).toFixed(1)];
      line += at === 0 ? `M${right} ${high}` : step ? `H${right}V${high}` : `L${right} ${high}`;
    });
    const [start, end] = [across(stretch[0][0]).toFixed(1), across(stretch[stretch.length - 1][0]).toFixed(1)];
    if (area) shapes.push(drawn("path", { class: `area ${look}`, d: `${line}V${bottom}H${start}Z` }));
    shapes.push(drawn("path", { class: `line ${look}`, d: start === end ? `${line}h0.1` : line }));
  }
  return shapes;
}

/** The points between gaps. */
function stretches(points) {
  const found = [];
  let stretch = [];
  for (const point of [...points, [0, null]]) {
    if (point[1] !== null && point[1] !== undefined) stretch.push(point);
    else if (stretch.length) {
      found.push(stretch);
      stretch = [];
    }
  }
  return found;
}
