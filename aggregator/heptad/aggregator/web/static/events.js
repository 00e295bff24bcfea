// The list of events: the newest, older and new ones, and the filters.
import { ask, FILTERS, filters, run } from "./ask.js";
import { button, clear, element, fillFields, find, number, short, until, when } from "./elements.js";
import { range, recallRange } from "./range.js";

const MOST_ROWS = 1000;
const state = { scope: null, note: "", position: null, next: null, keys: new Set(), turn: 0, skipped: false };

/** The view that is listed, and its parameters. */
export const listed = () => (state.scope
  ? { view: "evidence", ...filters(), finding: state.scope.finding }
  : { view: "events", ...range(), ...filters() });

function askNewest() {
  const { view, ...parameters } = listed();
  return ask(view, state.scope ? parameters : { ...parameters, limit: 50 });
}

export async function loadEvents() {
  const turn = ++state.turn;
  const data = await askNewest();
  if (turn !== state.turn) return;
  clear(find("rows"));
  state.keys.clear();
  state.skipped = false;
  addOlder(data);
}

export async function loadOlder() {
  const turn = state.turn;
  const data = await ask("events", { ...range(), ...filters(), before: state.next });
  if (turn !== state.turn) return;
  const before = find("rows").lastElementChild;
  addOlder(data);
  const first = before ? before.nextElementSibling : find("rows").firstElementChild;
  first?.querySelector("button")?.focus();
  tell(`${data.events.length} older events`);
}

function addOlder(data) {
  state.position = Math.max(state.position ?? 0, data.position ?? 0);
  state.next = data.next ?? null;
  state.note = data.note ?? "";
  for (const event of data.events) addRow(event, null);
  const none = state.keys.size === 0;
  find("table").hidden = none;
  find("empty").hidden = !none;
  find("empty").replaceChildren(...(none ? [sayEmpty(data), element("br"), until("events")] : []));
  find("more").hidden = !data.next;
  find("more").textContent =
    data.events.length ? "Show older events" : `Search further back than ${short(data.searched_to)}`;
  noteEvents();
}

function sayEmpty(data) {
  if (data.next) return `No match back to ${short(data.searched_to)}. Older events have not been searched yet.`;
  const filtered = Object.values(filters()).some(Boolean);
  if (filtered || state.scope) return "No event matches. Clear a filter, or choose a longer range above.";
  return "No events in this range yet. New ones appear here when someone logs in or tries to. " +
    "A longer range may show older ones. If you expect events, check Health above.";
}

export async function follow() {
  if (state.position === null) return loadEvents();
  const live = find("live");
  if (!live.checked || live.disabled || document.hidden || state.scope) return;
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
    (state.note ? `, ${state.note}` : "") +
    (state.skipped ? ", not all new events are shown: press Filter to see the newest" : "");
}

let toldAt = 0;
function tell(text) {
  if (Date.now() - toldAt < 5000) return;
  toldAt = Date.now();
  find("told").textContent = text;
}

export function filterBy(values, scope = null) {
  for (const name of FILTERS) find("filters").elements[name].value = values[name] ?? "";
  state.scope = scope;
  find("scope").hidden = !scope;
  find("scope-text").textContent = scope ? scope.text : "";
  remember();
  run(loadEvents);
  find("events").scrollIntoView();
  find("events").focus({ preventScroll: true });
}

/** Writes range and filters into the URL; ``asNew``: as a new entry of the browser's history. */
export function remember(asNew = false) {
  const query = new URLSearchParams({ ...range(), ...filters() });
  for (const [name, value] of [...query]) if (!value) query.delete(name);
  history[asNew ? "pushState" : "replaceState"](null, "", `?${query}`);
}

export function recall() {
  const query = new URLSearchParams(location.search);
  for (const name of FILTERS) find("filters").elements[name].value = query.get(name) ?? "";
  recallRange(query);
}
