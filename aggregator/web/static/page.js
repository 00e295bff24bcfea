// What the page does: asks the views of /api/ and shows them. Every value is put in as text.
import { drawChart } from "./chart.js";
import { button, clear, element, find, fillFields, number, short, when } from "./elements.js";

const FOLLOW_MS = 2000;
const REFRESH_MS = 30000;
const MOST_ROWS = 1000;
const FEW_FINDINGS = 5;
const FILTERS = ["host", "program", "outcome", "user", "address", "text"];
const state = { scope: null, position: null, next: null, keys: new Set(), turn: 0, shown: {},
  allFindings: false, skipped: false };

// --- asking ---

async function ask(view, parameters) {
  const query = new URLSearchParams(
    Object.entries(parameters).filter(([, value]) => value !== "" && value !== null));
  let answer;
  try {
    answer = await fetch(`api/${view}?${query}`, { signal: AbortSignal.timeout(15000) });
  } catch {
    throw new Error("Heptad does not answer. Is it still running?");
  }
  const data = await answer.json().catch(() => ({ error: `Heptad answers ${answer.status}` }));
  if (!answer.ok) throw new Error(data.error);
  return data;
}

const filters = () => {
  const form = new FormData(find("filters"));
  return Object.fromEntries(FILTERS.map((name) => [name, form.get(name).trim()]));
};
const range = () => ({ since: find("since").value });
const eventRange = () => (state.scope ? state.scope.range : range());

function tellProblem(error) {
  const banner = find("banner");
  banner.hidden = !error;
  const text = error ? error.message : "";
  if (banner.textContent !== text) banner.textContent = text;
  // nothing was read yet: there is nothing to show but the reason
  if (!error) delete document.body.dataset.unread;
  else if (!Object.keys(state.shown).length) document.body.dataset.unread = "true";
}

// --- events ---

async function loadEvents() {
  const turn = ++state.turn;
  const data = await ask("events", { ...eventRange(), ...filters(), limit: 50 });
  if (turn !== state.turn) return;
  clear(find("rows"));
  state.keys.clear();
  state.skipped = false;
  addOlder(data);
}

async function loadOlder() {
  const turn = state.turn;
  const data = await ask("events", { ...eventRange(), ...filters(), before: state.next });
  if (turn !== state.turn) return;
  const before = find("rows").lastElementChild;
  addOlder(data);
  const first = before ? before.nextElementSibling : find("rows").firstElementChild;
  first?.querySelector("button")?.focus();
  tell(`${data.events.length} older events`);
}

function addOlder(data) {
  state.position = Math.max(state.position ?? 0, data.position);
  state.next = data.next;
  for (const event of data.events) addRow(event, null);
  const none = state.keys.size === 0;
  find("table").hidden = none;
  find("empty").hidden = !none;
  find("empty").textContent = none ? sayEmpty(data) : "";
  find("more").hidden = !data.next;
  find("more").textContent =
    data.events.length ? "Show older events" : `Search further back than ${short(data.searched_to)}`;
  noteEvents();
}

function sayEmpty(data) {
  if (data.next) return `No such event back to ${short(data.searched_to)}; older ones were not searched yet.`;
  const filtered = Object.values(filters()).some(Boolean);
  if (filtered || state.scope) return "No event fits. Clear a filter, or choose a longer range above.";
  return "No events in this range yet. They appear here as soon as somebody logs in or tries to; " +
    "a longer range may show some. If there should be events, look at Health above.";
}

async function follow() {
  if (!find("live").checked || document.hidden || state.position === null || state.scope) return;
  const turn = state.turn;
  const data = await ask("events", { ...range(), ...filters(), after: state.position, limit: 200 });
  if (turn !== state.turn) return;
  state.skipped ||= data.skipped;
  state.position = data.position;
  const fresh = data.events.filter((event) => !state.keys.has(event.key));
  if (!fresh.length) return;
  find("table").hidden = false;
  find("empty").hidden = true;
  for (const event of fresh.reverse()) addRow(event, placeFor(event));
  trim();
  noteEvents();
  tell(`${fresh.length} new ${fresh.length === 1 ? "event" : "events"}`);
}

function placeFor(event) {
  for (const row of find("rows").children) {
    if (row.dataset.time !== undefined && row.dataset.time <= event.time) return row;
  }
  return undefined;
}

function addRow(event, before) {
  if (state.keys.has(event.key)) return;
  state.keys.add(event.key);
  const row = element("tr", before === null ? "" : "fresh");
  row.setAttribute("role", "row");
  row.dataset.time = event.time;
  row.dataset.key = event.key;
  const open = button(short(event.time), () => toggle(row, event, open), "link mono");
  open.setAttribute("aria-expanded", "false");
  open.setAttribute("aria-label", `${short(event.time)}, all of this event`);
  row.append(
    cell(open), cell(event.host),
    cell(event.program),
    cell(...what(event)), cell(who(event)), cell(from(event)), cell(event.object ?? ""));
  find("rows").insertBefore(row, before ?? null);
  if (before !== null) setTimeout(() => row.classList.remove("fresh"), 1500);
}

function cell(...content) {
  const made = element("td");
  made.setAttribute("role", "cell");
  made.append(...content);
  if (content.every((part) => typeof part === "string")) made.title = content.join("");
  return made;
}

function what(event) {
  const rest = [event.method, event.reason.replaceAll("_", " ")].filter(Boolean).join(", ");
  const times = event.count > 1 ? ` ×${event.count}` : "";
  const outcome = event.outcome === "unknown" ? [] : [element("span", `chip ${event.outcome}`, event.outcome)];
  return [`${event.action.replaceAll("_", " ")} `, ...outcome, rest ? ` ${rest}` : "", times];
}

function who(event) {
  const user = event.user === "" ? "(empty name)" : (event.user ?? "");
  return event.target_user !== undefined ? `${user} → ${event.target_user}` : user;
}

const from = (event) => event.source_ip ?? event.source_domain ?? event.tty ?? "";

function toggle(row, event, open) {
  const is = open.getAttribute("aria-expanded") === "true";
  open.setAttribute("aria-expanded", String(!is));
  if (is) {
    row.nextElementSibling.remove();
    return;
  }
  const more = element("tr", "more-of");
  more.setAttribute("role", "row");
  const inside = element("td");
  inside.setAttribute("role", "cell");
  inside.colSpan = 7;
  const { key, ...fields } = event;
  inside.append(fillFields({ ...fields, time: when(event.time) }));
  const buttons = element("div", "buttons");
  if (event.user) buttons.append(button("Only this user", () => filterBy({ user: event.user })));
  const address = event.source_ip ?? event.source_domain;
  if (address) buttons.append(button("Only this address", () => filterBy({ address })));
  inside.append(buttons);
  more.append(inside);
  row.after(more);
}

function trim() {
  const rows = find("rows");
  while (rows.children.length > MOST_ROWS) {
    const last = rows.lastElementChild;
    state.next = null;
    state.keys.delete(last.dataset.key);
    last.remove();
  }
  find("more").hidden = state.next === null;
}

function noteEvents() {
  const filtered = Object.values(filters()).filter(Boolean).length;
  find("events-note").textContent =
    `${number(state.keys.size)} shown${filtered ? `, ${filtered} filter${filtered > 1 ? "s" : ""}` : ""}` +
    (state.skipped ? ", more came than are shown: filter again to see the newest" : "");
}

let toldAt = 0;
function tell(text) {
  if (Date.now() - toldAt < 5000) return;
  toldAt = Date.now();
  find("told").textContent = text;
}

// --- filters ---

function filterBy(values, scope = null) {
  for (const name of FILTERS) find("filters").elements[name].value = values[name] ?? "";
  state.scope = scope;
  find("scope").hidden = !scope;
  find("scope-text").textContent = scope ? scope.text : "";
  remember();
  run(loadEvents);
  find("events").scrollIntoView();
  find("events").focus({ preventScroll: true });
}

function remember() {
  const query = new URLSearchParams({ ...range(), ...filters() });
  for (const [name, value] of [...query]) if (!value) query.delete(name);
  history.replaceState(null, "", `?${query}`);
}

function recall() {
  const query = new URLSearchParams(location.search);
  for (const name of FILTERS) find("filters").elements[name].value = query.get(name) ?? "";
  const since = query.get("since");
  if ([...find("since").options].some((option) => option.value === since)) find("since").value = since;
}

// --- the other views ---

/** Runs ``show`` where the data differ from what is shown, so that focus stays where it is. */
function showIfNew(name, data, show) {
  const text = JSON.stringify(data);
  if (state.shown[name] === text) return;
  state.shown[name] = text;
  show(data);
}

async function loadSeries() {
  showIfNew("series", await ask("series", range()), showSeries);
}

function showSeries(data) {
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const [failed, succeeded] = [sum(data.failures), sum(data.successes)];
  find("tile-failures").textContent = number(failed);
  find("tile-successes").textContent = number(succeeded);
  find("series-note").textContent =
    data.from ? `counted back to ${short(data.from)} so far; reports of what is older are being computed` : "";
  drawChart(data);
  find("chart").setAttribute("aria-label",
    `Login attempts over time: ${number(failed)} failed, ${number(succeeded)} succeeded`);
  const rows = [];
  data.failures.forEach((failures, index) => {
    if (!failures && !data.successes[index]) return;
    const row = element("tr");
    const time = new Date((data.begin + index * data.step) * 1000).toISOString();
    row.append(element("td", "", short(time)), element("td", "", number(failures)),
      element("td", "", number(data.successes[index])));
    rows.push(row);
  });
  find("series-rows").replaceChildren(...rows.reverse());
}

async function loadTop() {
  showIfNew("top", await ask("top", range()), (data) => {
    find("top-note").textContent = data.from ? `of the newest ${number(data.failures)}, since ${short(data.from)}` : "";
    showTop(find("top-addresses"), data.addresses, data.failures, (address) => ({ address }));
    showTop(find("top-users"), data.users, data.failures, (user) => ({ user }));
  });
}

function showTop(list, top, total, filter) {
  const most = top.rows.length ? top.rows[0].count : 1;
  const rows = top.rows.map((entry) => {
    const row = element("li");
    const share = element("span", "share");
    share.style.width = `${(100 * entry.count) / most}%`;
    const name = entry.name
      ? button(entry.name, () => filterBy({ ...filter(entry.name), outcome: "failure" }), "link name mono")
      : element("span", "name", "(empty name)");
    if (entry.name) name.title = entry.name;
    row.append(share, name, element("span", "count", number(entry.count)));
    return row;
  });
  if (top.others) {
    const rest = element("li", "rest");
    rest.append(element("span", "name", "all others"), element("span", "count", number(top.others)));
    rows.push(rest);
  }
  if (!rows.length) rows.push(element("li", "rest", "No failed logins in this range."));
  list.replaceChildren(...rows);
}

async function loadFindings() {
  showIfNew("findings", await ask("findings", { ...range(), limit: 50 }), (data) => {
    const high = data.findings.filter((finding) => finding.severity === "high").length;
    find("tile-findings").replaceChildren(number(data.number),
      element("small", "", high ? `${high} of high severity` : data.number ? "none of high severity" : ""));
    find("findings-note").textContent =
      data.number > data.findings.length ? `the ${data.findings.length} gravest of ${number(data.number)}` : "";
    const some = state.allFindings ? data.findings : data.findings.slice(0, FEW_FINDINGS);
    find("findings-all").hidden = some.length === data.findings.length;
    find("findings-all").textContent = `Show ${data.findings.length - some.length} more`;
    const open = new Set([...document.querySelectorAll("#findings-list details[open]")].map((d) => d.dataset.key));
    const rows = some.map((finding) => showFinding(finding, open.has(finding.key)));
    if (!rows.length) {
      const text = data.waiting ? "The first findings are being computed." : "Nothing unusual in this range.";
      rows.push(element("li", "empty", text));
    }
    find("findings-list").replaceChildren(...rows);
  });
}

function showFinding(finding, open) {
  const { key, rule, severity, sentence, first, last, until, subject, day, first_event, last_event,
    ...rest } = finding;
  const details = element("details");
  details.dataset.key = key;
  details.open = open;
  const summary = element("summary");
  summary.append(element("span", `chip severity ${severity}`, severity),
    element("span", "sentence", sentence), element("span", "when", short(last)));
  const inside = element("div", "inside");
  inside.append(fillFields({
    rule: rule.replaceAll("_", " "), subject, "first event": when(first), "last event": when(last),
    ...rest, evidence: [first_event, last_event].filter(Boolean) }));
  const isAddress = /^[0-9a-fA-F.:]+$/.test(subject) && /[.:]/.test(subject);
  const values = finding.addresses?.length === 1 ? { address: finding.addresses[0] }
    : isAddress ? { address: subject }
    : finding.users?.length === 1 ? { user: finding.users[0] } : {};
  const scope = { range: { since: first, until }, text: `Evidence of: ${sentence}` };
  inside.append(button("Show the events", () => filterBy(values, scope)));
  details.append(summary, inside);
  const row = element("li");
  row.append(details);
  return row;
}

async function loadHealth() {
  showIfNew("health", await ask("health", {}), (data) => {
    const problems = [...data.problems];
    const unread = Object.entries(data.not_understood);
    find("tile-health").replaceChildren(problems.length ? `${problems.length} wrong` : "well",
      element("small", "", data.sources.length ? `last event ${short(data.sources.map((s) => s.last).sort().at(-1))}` : "no events yet"));
    find("problems").replaceChildren(...(problems.length
      ? problems.map((text) => element("li", "", `Problem: ${text}`))
      : [element("li", "", "Nothing is wrong.")]));
    find("sources").replaceChildren(...data.sources.map((source) => {
      const row = element("tr");
      for (const text of [source.source, source.host, short(source.last), source.programs.join(", ")]) {
        row.append(element("td", "", text));
      }
      return row;
    }));
    if (!data.sources.length) {
      const row = element("tr");
      const none = element("td", "", "No source has given an event yet.");
      none.colSpan = 4;
      row.append(none);
      find("sources").append(row);
    }
    const sum = (counts) => Object.values(counts).reduce((total, value) => total + value, 0);
    find("health-note").textContent = [
      `${number(sum(data.lines))} lines read`,
      unread.length ? `not understood: ${unread.map(([name, n]) => `${name || "without header"} ${number(n)}`).join(", ")}`
        : "all of known programs understood",
      sum(data.gaps) ? `${number(sum(data.gaps))} gaps: parts of a log that could not be read` : "no gaps",
      `stores ${(data.size / 2 ** 20).toFixed(1)} MiB`].join(" · ");
    fillList("hosts", new Set(data.sources.map((source) => source.host)));
    fillList("programs", new Set(data.sources.flatMap((source) => source.programs)));
  });
}

function fillList(id, values) {
  find(id).replaceChildren(...[...values].sort().map((value) => {
    const option = element("option");
    option.value = value;
    return option;
  }));
}

// --- running ---

async function run(...views) {
  const done = await Promise.allSettled(views.map((view) => view()));
  const failed = done.find((result) => result.status === "rejected");
  if (failed) tellProblem(failed.reason);
  return !failed;
}

async function refresh() {
  if (document.hidden) return;
  if (await run(loadSeries, loadTop, loadFindings, loadHealth)) tellProblem(null);
}

async function loadAll() {
  const fine = await run(loadEvents, loadSeries, loadTop, loadFindings, loadHealth);
  if (fine) tellProblem(null);
  document.body.dataset.loaded = "true";
}

async function keepFollowing() {
  try {
    if (state.position === null) await loadEvents();
    else await follow();
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
find("findings-all").addEventListener("click", () => {
  state.allFindings = true;
  state.shown.findings = "";
  run(loadFindings).then(() => document.querySelectorAll("#findings-list summary")[FEW_FINDINGS]?.focus());
});
find("more").addEventListener("click", () => run(loadOlder));
find("since").addEventListener("change", () => { remember(); loadAll(); });
document.addEventListener("visibilitychange", refresh);
setInterval(() => find("live").checked && refresh(), REFRESH_MS);
recall();
loadAll().then(() => setTimeout(keepFollowing, FOLLOW_MS));
