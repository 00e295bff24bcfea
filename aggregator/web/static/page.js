// What the page does and when. Every value is put in as text, never as markup.
import { filters, run, tellProblem } from "./ask.js";
import { find } from "./elements.js";
import { filterBy, follow, loadEvents, loadOlder, recall, remember } from "./events.js";
import { loadFindings, loadHealth, loadSeries, loadSessions, loadTop, showAllFindings } from "./views.js";

const FOLLOW_MS = 2000;
const REFRESH_MS = 30000;

async function refresh() {
  if (document.hidden) return;
  if (await run(loadSeries, loadTop, loadFindings, loadSessions, loadHealth)) tellProblem(null);
}

async function loadAll() {
  const fine = await run(loadEvents, loadSeries, loadTop, loadFindings, loadSessions, loadHealth);
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
find("since").addEventListener("change", () => { remember(); loadAll(); });
document.addEventListener("visibilitychange", refresh);
setInterval(() => find("live").checked && refresh(), REFRESH_MS);
recall();
loadAll().then(() => setTimeout(keepFollowing, FOLLOW_MS));
