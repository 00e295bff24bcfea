// Counts over time as stacked bars, drawn by uPlot in the colours of the page.
import { find, number, short } from "./elements.js";

const HEIGHT = 180;
const charts = [];
let zoomTo = () => {};
let goBack = () => {};

/** Calls ``act`` with start and end (ms since 1970) of the range that is selected by dragging. */
export const zoomByChart = (act) => { zoomTo = act; };
/** Calls ``act`` at a double click. */
export const backByChart = (act) => { goBack = act; };

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A chart in the element ``id``; ``id``-value shows the values under the pointer. */
export function makeChart(id) {
  const chart = { id, plot: null, data: null, series: [] };
  charts.push(chart);
  new ResizeObserver(() => {
    const width = find(id).clientWidth;
    if (chart.plot && width && chart.plot.width !== width) chart.plot.setSize({ width, height: HEIGHT });
  }).observe(find(id));
  return (data, series) => {
    Object.assign(chart, { data, series });
    // do not replace the chart while the user drags over it
    if (chart.plot?.select.width) window.addEventListener("mouseup", () => setTimeout(() => draw(chart)), { once: true });
    else draw(chart);
  };
}

/** Draws ``series`` ({name, colour, values}), the first one at the bottom. */
function draw(chart) {
  const { data, series, id } = chart;
  const length = series[0].values.length;
  const times = Array.from({ length }, (_, index) => data.begin + index * data.step);
  const sums = [];
  series.forEach(({ values }, place) => {
    sums.push(values.map((value, index) => value + (place ? sums[place - 1][index] : 0)));
  });
  chart.plot?.destroy();
  // the highest bars first: the others are drawn over them
  chart.plot = new uPlot(options(chart, length), [times, ...sums.reverse()], find(id));
}

function options({ data, series, id }, length) {
  const bars = uPlot.paths.bars({ size: [0.8, 40], align: 1, gap: 0 });
  const axis = {
    stroke: colour("--soft"), font: "12px system-ui, sans-serif",
    grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false },
  };
  const one = (name) => ({ fill: colour(name), width: 0, paths: bars, points: { show: false } });
  return {
    width: find(id).clientWidth, height: HEIGHT, padding: [8, 24, 0, 0], legend: { show: false },
    cursor: { drag: { x: true, y: false, setScale: false, dist: 5 }, y: false, bind: { dblclick: () => () => goBack() } },
    // the last bar starts at the last time and needs its own width after it
    scales: { x: { time: true, range: () => [data.begin, data.begin + length * data.step] },
      y: { range: (_, low, high) => [0, Math.max(4, high * 1.05)] } },
    axes: [{ ...axis, grid: { show: false }, values: TIMES, space: 70 },
      { ...axis, size: 50, values: (_, values) => values.map((v) => (v % 1 ? "" : number(v))) }],
    series: [{}, ...series.map(({ colour: name }) => one(name)).reverse()],
    hooks: { setCursor: [(plot) => tellValue(id, data, series, plot.cursor.idx)],
      setSelect: [(plot) => choose(data, length, plot)] },
  };
}

function choose(data, length, plot) {
  const { left, width } = plot.select;
  if (width < 5) return;
  const end = data.begin + length * data.step;
  const [from, to] = [left, left + width].map((place) => plot.posToVal(place, "x"));
  plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  // the whole bars that were touched
  const down = data.begin + Math.floor((from - data.begin) / data.step) * data.step;
  const up = data.begin + Math.ceil((to - data.begin) / data.step) * data.step;
  zoomTo(Math.max(down, data.begin) * 1000, Math.min(up, end) * 1000);
}

const TIMES = [
  [86400, "{MMM} {DD}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{MMM} {DD}", null, "\n{MMM} {DD}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{MMM} {DD}", null, "\n{MMM} {DD}", null, null, null, 1],
];

function tellValue(id, data, series, index) {
  find(`${id}-value`).textContent = index === null || index === undefined ? ""
    : `from ${short((data.begin + index * data.step) * 1000)}: ` +
      series.map(({ name, values }) => `${number(values[index])} ${name}`).join(", ");
}

/** The rows of a table with the same numbers, the newest first; steps without any are omitted. */
export function tableOf(data, series, makeRow) {
  return series[0].values.map((_, index) => index)
    .filter((index) => series.some(({ values }) => values[index]))
    .map((index) => makeRow(short((data.begin + index * data.step) * 1000), series.map(({ values }) => number(values[index]))))
    .reverse();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change",
  () => charts.filter(({ plot }) => plot).forEach(draw));
