// Login attempts as stacked bars, drawn by uPlot in the colours of the page.
import { find, number, short } from "./elements.js";

let chart = null;
let shown = null;
let zoomTo = () => {};
let goBack = () => {};

/** Calls ``act`` with begin and end (ms since 1970) of what is chosen by dragging. */
export const zoomByChart = (act) => { zoomTo = act; };
/** Calls ``act`` at a double click. */
export const backByChart = (act) => { goBack = act; };

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function drawChart(data) {
  shown = data;
  const times = data.failures.map((_, index) => data.begin + index * data.step);
  const totals = data.failures.map((failures, index) => failures + data.successes[index]);
  chart?.destroy();
  chart = new uPlot(options(data), [times, totals, data.successes], find("chart"));
}

function options(data) {
  const bars = uPlot.paths.bars({ size: [0.8, 40], align: 1, gap: 0 });
  const axis = {
    stroke: colour("--soft"), font: "12px system-ui, sans-serif",
    grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false },
  };
  const one = (name) => ({ fill: colour(name), width: 0, paths: bars, points: { show: false } });
  return {
    width: find("chart").clientWidth, height: 180, padding: [8, 24, 0, 0],
    legend: { show: false }, 
    cursor: { drag: { x: true, y: false, setScale: false, dist: 5 }, y: false, bind: { dblclick: () => () => goBack() } },
    // the last bar begins at the last time and needs its own width behind it
    scales: { x: { time: true, range: () => [data.begin, data.begin + data.failures.length * data.step] },
      y: { range: (_, low, high) => [0, Math.max(4, high * 1.05)] } },
    axes: [{ ...axis, grid: { show: false }, values: TIMES, space: 70 },
      { ...axis, size: 50, values: (_, values) => values.map((v) => (v % 1 ? "" : number(v))) }],
    series: [{}, one("--bar-failure"), one("--bar-success")],
    hooks: { setCursor: [(plot) => tellValue(data, plot.cursor.idx)], setSelect: [(plot) => choose(data, plot)] },
  };
}

function choose(data, plot) {
  const { left, width } = plot.select;
  if (width < 5) return;
  const end = data.begin + data.failures.length * data.step;
  const [from, to] = [left, left + width].map((place) => plot.posToVal(place, "x"));
  plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  // the bars that were touched, whole
  const down = data.begin + Math.floor((from - data.begin) / data.step) * data.step;
  const up = data.begin + Math.ceil((to - data.begin) / data.step) * data.step;
  zoomTo(Math.max(down, data.begin) * 1000, Math.min(up, end) * 1000);
}

const TIMES = [
  [86400, "{MMM} {DD}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{MMM} {DD}", null, "\n{MMM} {DD}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{MMM} {DD}", null, "\n{MMM} {DD}", null, null, null, 1],
];

function tellValue(data, index) {
  find("chart-value").textContent = index === null || index === undefined ? ""
    : `from ${short((data.begin + index * data.step) * 1000)}: ` +
      `${number(data.failures[index])} failed, ${number(data.successes[index])} succeeded`;
}

new ResizeObserver(() => {
  const width = find("chart").clientWidth;
  if (chart && width && chart.width !== width) chart.setSize({ width, height: 180 });
}).observe(find("chart"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown && drawChart(shown));
