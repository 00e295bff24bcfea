// What the page does and when. Every value is inserted as text, never as markup.
import { ask, filters, run, tellProblem } from "./ask.js";
import { backByChart, zoomByChart } from "./chart.js";
import { find, zoneOf } from "./elements.js";
import { filterBy, follow, listed, loadEvents, loadOlder, recall, remember } from "./events.js";
import { offerExport } from "./export.js";
import { applyForm, choosePreset, closeForm, openForm, presets, range, zoom, zoomBack } from "./range.js";
import { changeHours, loadHours, loadSeries, loadTop } from "./pictures.js";
import { loadFindings, loadHealth, loadSessions, showAllFindings } from "./views.js";

const FOLLOW_MS = 2000;
const REFRESH_MS = 30000;
const HOUR = 3600000;
const LENGTHS = { "1h": HOUR, "6h": 6 * HOUR, "24h": 24 * HOUR, "7d": 168 * HOUR, "30d": 720 * HOUR };

async function refresh() {
  if (document.hidden) return;
  if (await run(loadSeries, loadTop, loadHours, loadFindings, loadSessions, loadHealth)) tellProblem(null);
}

/** The shortest range that contains the newest event and, up to a day, the oldest. */
async function chooseRange() {
  if (location.search.includes("since=")) return;
  const { sources } = await ask("health", {}).catch(() => ({ sources: [] }));
  if (!sources.length) return;
  const age = (times) => Date.now() - Math.max(...times.map((time) => Date.parse(time)));
  const newest = age(sources.map((source) => source.last));
  const oldest = Date.now() - Math.min(...sources.map((source) => Date.parse(source.first ?? source.last)));
  const wanted = Math.max(newest, Math.min(oldest, 24 * HOUR));
  choosePreset(presets().find((preset) => wanted < LENGTHS[preset]) ?? presets().at(-1));
}

async function loadAll() {
  const fine = await run(loadEvents, loadSeries, loadTop, loadHours, loadFindings, loadSessions, loadHealth);
  if (fine) tellProblem(null);
  document.body.dataset.loaded = "true";
}

async function keepFollowing() {
  try {
    await follow();
    if (!find("banner").hidden) await refresh();
  } catch (error) {
    tellProblem(error);
  }
  setTimeout(keepFollowing, FOLLOW_MS);
}

find("filters").addEventListener("submit", (submit) => {
  submit.preventDefault();
  remember();
  run(loadEvents).then((fine) => fine && tellProblem(null));
});
find("clear").addEventListener("click", () => filterBy({}));
find("scope-clear").addEventListener("click", () => filterBy(filters()));
find("findings-all").addEventListener("click", showAllFindings);
find("more").addEventListener("click", () => run(loadOlder));

/** Shows the current range. */
function showRange() {
  remember(true);
  loadAll();
}

find("since").addEventListener("change", () => {
  if (find("since").value === "custom") {
    openForm();
    return;
  }
  choosePreset(find("since").value);
  closeForm();
  showRange();
});
find("custom").addEventListener("submit", (submit) => {
  submit.preventDefault();
  if (applyForm()) showRange();
});
find("custom-close").addEventListener("click", closeForm);
find("custom").addEventListener("keydown", (key) => key.key === "Escape" && closeForm());
const goBack = () => zoomBack() && showRange();
find("zoom-back").addEventListener("click", goBack);
zoomByChart((from, to) => { zoom(from, to); showRange(); });
backByChart(goBack);
window.addEventListener("popstate", () => { recall(); loadAll(); });
document.addEventListener("visibilitychange", refresh);
find("hours-outcome").addEventListener("change", () => run(changeHours));
offerExport("events-export", "events", listed);
offerExport("findings-export", "findings", () => ({ view: "findings", ...range() }));
find("footer-zone").textContent = zoneOf(Date.now());
setInterval(() => find("live").checked && refresh(), REFRESH_MS);
recall();
chooseRange().then(loadAll).then(() => setTimeout(keepFollowing, FOLLOW_MS));
