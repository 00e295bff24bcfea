// The time range that is shown: one of a list, or a custom one. It is part of the URL.
import { element, find, short, zoneOf } from "./elements.js";

const CUSTOM = "custom";
const PRESETS = [...find("since").options].map((option) => option.value).filter((value) => value !== CUSTOM);
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/;
export const SHORTEST_MS = 10000;
/** The current custom range (RFC 3339; without ``until`` up to now), and those before a zoom. */
const state = { custom: null, preset: find("since").value, before: [] };

/** The parameters of the views; a response for another range is out of date. */
export const range = () => ({ ...(state.custom ?? { since: state.preset }) });

/** Applies a range; ``custom`` is one of a list, or {since, until}. */
function setRange(chosen) {
  state.custom = typeof chosen === "string" ? null : chosen;
  if (!state.custom) state.preset = chosen;
  find("since").value = state.custom ? CUSTOM : state.preset;
  const option = find("since").querySelector(`[value=${CUSTOM}]`);
  option.textContent = state.custom ? describe(state.custom) : "from … to …";
  const ends = Boolean(state.custom?.until);
  find("live").disabled = ends;
  find("live").parentElement.title = ends ? "New events are not shown in a range that has an end" : "";
  if (!find("custom").hidden) fillForm();
  find("zoom-back").hidden = state.before.length === 0;
}

export const choosePreset = (preset) => setRange(preset);
export const presets = () => PRESETS;

function describe({ since, until }) {
  const from = short(since).slice(0, -3);
  if (!until) return `from ${from} to now`;
  const to = short(until).slice(0, -3);
  const sameDay = from.slice(0, -6) === to.slice(0, -6);
  return `${from} – ${sameDay ? to.slice(-5) : to}`;
}

/** Narrows the range to the selection on the chart (ms since 1970). */
export function zoom(from, to) {
  const middle = (from + to) / 2;
  const half = Math.max(to - from, SHORTEST_MS) / 2;
  state.before.push(state.custom ?? state.preset);
  setRange({ since: toTime(middle - half), until: toTime(middle + half) });
}

/** Returns to the range before the last zoom; returns whether there was one. */
export function zoomBack() {
  const before = state.before.pop();
  if (before === undefined) return false;
  setRange(before);
  return true;
}

const toTime = (milliseconds) => new Date(Math.round(milliseconds)).toISOString();

/** Reads the range from the URL; an invalid one is reported and ignored. */
export function recallRange(query) {
  const [since, until] = [query.get("since"), query.get("until")];
  state.before = [];
  tellFault("");
  if (since === null && until === null) return;
  if (PRESETS.includes(since) && until === null) {
    setRange(since);
    return;
  }
  const fault = findFault(since, until);
  if (!fault) {
    setRange({ since, ...(until === null ? {} : { until }) });
    return;
  }
  openForm(false);
  tellFault(`The range in the URL is not valid and was ignored: ${fault}`);
}

function findFault(since, until) {
  for (const [name, text] of [["since", since], ["until", until]]) {
    if (text !== null && !(RFC3339.test(text) && Number.isFinite(Date.parse(text)))) {
      return `${name} is “${text.slice(0, 40)}”; write a time such as 2026-03-01T12:00:00Z.`;
    }
  }
  if (since === null) return "it has an end but no start.";
  if (until !== null && Date.parse(since) >= Date.parse(until)) return "From is not before To.";
  return Date.parse(since) >= Date.now() ? "From is in the future." : "";
}

// the form

const inputs = () => [find("from"), find("to")];

/** Shows the fields with the current range. */
export function openForm(focuses = true) {
  find("custom").hidden = false;
  fillForm();
  if (focuses) find("from").focus();
}

export function closeForm() {
  find("custom").hidden = true;
  tellFault("");
  find("since").value = state.custom ? CUSTOM : state.preset;
}

function fillForm() {
  const hours = { h: 1, d: 24 }[state.preset.at(-1)] * Number.parseInt(state.preset, 10);
  const since = state.custom?.since ?? toTime(Date.now() - hours * 3600000);
  const until = state.custom ? state.custom.until : null;
  for (const [input, time] of [[find("from"), since], [find("to"), until]]) {
    input.value = time ? toLocal(time) : "";
    // an hour that the clock repeats has two times, so a field that is not edited is kept
    [input.dataset.shown, input.dataset.time] = [input.value, time ?? ""];
  }
  find("zone").textContent = zoneOf(since);
}

function toLocal(time) {
  const date = new Date(time);
  return new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

/** Applies the range of the fields; returns whether it is valid. */
export function applyForm() {
  const [from, to] = inputs();
  if (from.validity.badInput || to.validity.badInput) {
    tellFault("This is not a date and time.");
    return false;
  }
  const [since, until] = [from, to].map(readInput);
  const fault = since === null ? "Enter a time in From." : findFault(since, until);
  if (fault) {
    tellFault(fault);
    return false;
  }
  tellFault("");
  state.before = [];
  setRange({ since, ...(until === null ? {} : { until }) });
  return true;
}

function readInput(input) {
  if (!input.value) return null;
  if (input.value === input.dataset.shown) return input.dataset.time;
  const time = Date.parse(input.value);
  return Number.isFinite(time) ? toTime(time) : input.value;
}

function tellFault(text) {
  find("range-fault").replaceChildren(...(text ? [element("span", "", text)] : []));
}
