// Attempts, rankings, findings and health.
import { ask, run } from "./ask.js";
import { makeChart, tableOf } from "./chart.js";
import { button, element, fillFields, find, number, short, tellUntil, until, when, offsetOf } from "./elements.js";
import { filterBy } from "./events.js";
import { drawHours } from "./heat.js";
import { range } from "./range.js";

const FEW_FINDINGS = 5;
const FEW_NAMES = 3;
const shown = {};
let showsAll = false;
let checked = null;

/** The answer of a view for the range in force; null where another one was chosen meanwhile. */
async function askInRange(view, more = {}) {
  const asked = JSON.stringify(range());
  const data = await ask(view, { ...range(), ...more });
  return asked === JSON.stringify(range()) ? data : null;
}

/** Runs ``show`` where the data differ from what is shown, so that focus stays where it is. */
function showIfNew(name, data, show) {
  const text = JSON.stringify(data);
  if (data === null || shown[name] === text) return;
  shown[name] = text;
  show(data);
}

export async function loadSeries() {
  showIfNew("series", await askInRange("series"), showSeries);
}

function showSeries(data) {
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const [failed, succeeded] = [sum(data.failures), sum(data.successes)];
  find("tile-failures").replaceChildren(number(failed), until("events"));
  find("tile-successes").replaceChildren(number(succeeded), until("events"));
  find("series-note").textContent =
    data.from ? `counted back to ${short(data.from)} so far; reports of what is older are being computed` : "";
  const series = [{ name: "succeeded", colour: "--bar-success", values: data.successes },
    { name: "failed", colour: "--bar-failure", values: data.failures }];
  drawAttempts(data, series);
  find("chart").setAttribute("aria-label",
    `Login attempts over time: ${number(failed)} failed, ${number(succeeded)} succeeded`);
  find("series-rows").replaceChildren(...tableOf(data, [...series].reverse(), writeNumbers));
  showServices(data);
}

const drawAttempts = makeChart("chart");
const drawServices = makeChart("services-chart");

function writeNumbers(time, numbers) {
  const row = element("tr");
  row.append(...[time, ...numbers].map((text) => element("td", "", text)));
  return row;
}

/** The same attempts by the service that was logged in to. */
function showServices(data) {
  const series = data.programs.map(({ name, attempts }, place) => ({
    name: name ?? "others", colour: `--p${name === null ? 6 : place + 1}`, values: attempts,
    total: attempts.reduce((total, value) => total + value, 0) }));
  const none = [{ name: "attempts", colour: "--p6", values: data.failures.map(() => 0) }];
  drawServices(data, series.length ? series : none);
  find("services-legend").replaceChildren(...series.map(({ name, colour, total }) => {
    const key = element("span", `key ${colour.slice(2)}`, `${name} ${number(total)}`);
    key.title = key.textContent;
    return key;
  }), ...(series.length ? [] : [none("span", "", "No login attempts in this range", "events")]));
  find("services-chart").setAttribute("aria-label", "Login attempts by service over time: " +
    (series.map(({ name, total }) => `${name} ${number(total)}`).join(", ") || "none"));
  find("services-head").replaceChildren(...["From", ...series.map(({ name }) => name)].map(writeHead));
  find("services-rows").replaceChildren(...(series.length ? tableOf(data, series, writeNumbers) : []));
}

function writeHead(text) {
  const head = element("th", "", text);
  head.scope = "col";
  return head;
}

const WORDS = { failure: "failed", success: "succeeded" };

/** Asks in the browser's zone; where the server does not know it, in its offset of now. */
async function askHours(outcome) {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  try {
    return [await askInRange("hours", { outcome, zone: timeZone }), timeZone];
  } catch (error) {
    const offset = offsetOf(Date.now());
    if (!error.message.startsWith("`zone`")) throw error;
    return [await askInRange("hours", { outcome, zone: offset }), `UTC${offset}`];
  }
}

export async function loadHours() {
  const outcome = find("hours-outcome").value;
  const [data, zone] = await askHours(outcome);
  if (find("hours-outcome").value !== outcome) return;
  showIfNew("hours", data, () => {
    find("hours-note").textContent = data.from ? `${zone}; counted since ${short(data.from)}` : zone;
    const heads = Array.from({ length: 24 }, (_, hour) => String(hour));
    find("hours-head").replaceChildren(...["User", ...heads].map(writeHead));
    drawHours(data, WORDS[outcome], (user) => filterBy({ user, outcome, action: "login" }));
  });
}

export async function loadTop() {
  showIfNew("top", await askInRange("top"), (data) => {
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
  if (!rows.length) rows.push(none("li", "rest", "No failed logins in this range", "events"));
  list.replaceChildren(...rows);
}

/** That there is none of something, and up to when that is known. */
function none(name, classes, text, of) {
  const [made, told] = [element(name, classes), element("span", "", `${text}, `)];
  told.append(until(of));
  made.append(told);
  return made;
}

/** What of all there is a list has: its first ones, and only a part of the range where time was short. */
function noteOn(data, shown, which) {
  const notes = [];
  if (data.number > shown.length) notes.push(`the ${shown.length} ${which} of ${number(data.number)}`);
  if (data.from) notes.push(`only since ${short(data.from)}: choose a shorter range to see what is older`);
  return notes.join(", ");
}

export async function loadFindings() {
  showIfNew("findings", await askInRange("findings", { limit: 50 }), (data) => {
    const high = data.findings.filter((finding) => finding.severity === "high").length;
    find("tile-findings").replaceChildren(number(data.number),
      element("small", "", high ? `${high} of high severity` : data.number ? "none of high severity" : ""),
      until("findings"));
    find("findings-note").textContent = noteOn(data, data.findings, "most severe");
    const some = showsAll ? data.findings : data.findings.slice(0, FEW_FINDINGS);
    find("findings-all").hidden = some.length === data.findings.length;
    find("findings-all").textContent = `Show ${data.findings.length - some.length} more`;
    const open = new Set([...document.querySelectorAll("#findings-list details[open]")].map((d) => d.dataset.key));
    const rows = some.map((finding) => showFinding(finding, open.has(finding.key)));
    if (!rows.length) {
      rows.push(data.waiting ? element("li", "empty", "The first findings are being computed.")
        : none("li", "empty", data.from ? `No findings since ${short(data.from)}` : "No findings in this range", "findings"));
    }
    find("findings-list").replaceChildren(...rows);
  });
}

const NO_END = { reused: "no end seen", never: "no end seen", open: "open" };

export async function loadSessions() {
  showIfNew("sessions", await askInRange("sessions", { limit: 20 }), (data) => {
    find("sessions-note").textContent = noteOn(data, data.sessions, "latest");
    const rows = data.sessions.map((session) => {
      const open = button(short(session.begin), () => showEvents(session.id, `the session of ${session.user}`), "link mono");
      open.setAttribute("aria-label", `${short(session.begin)}, the events of this session`);
      return rowOf(open, session.user, session.address, session.host, session.program,
        NO_END[session.end] ?? lengthOf(session.seconds));
    });
    if (!rows.length) {
      rows.push(rowOf(none("span", "",
        `No sessions of sshd or login ${data.from ? `since ${short(data.from)}` : "in this range"}`, "events")));
    }
    find("sessions-rows").replaceChildren(...rows);
  });
}

/** A row of a table that is cards on a narrow screen, which takes its roles away. */
function rowOf(...content) {
  const row = element("tr");
  row.setAttribute("role", "row");
  for (const inside of content) {
    const cell = element("td");
    cell.setAttribute("role", "cell");
    cell.append(inside);
    row.append(cell);
  }
  if (content.length === 1) row.firstChild.colSpan = 6;
  return row;
}

function lengthOf(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min` : `${Math.round(seconds)} s`;
}

const showEvents = (id, of) => filterBy({}, { finding: id, text: `Events of: ${of}` });

function showFinding(finding, open) {
  const { key, id, rule, severity, sentence, title, facts, first, last, until, subject, day, first_event,
    last_event, technique, technique_url, ...rest } = finding;
  const details = element("details");
  details.dataset.key = key;
  details.open = open;
  const summary = element("summary");
  const words = element("span", "sentence");
  words.append(element("strong", "", title), chipsOf(finding), element("span", "facts", facts));
  summary.append(element("span", `chip severity ${severity}`, severity), words,
    element("span", "when", short(last)));
  const inside = element("div", "inside");
  inside.append(fillFields({
    rule: rule.replaceAll("_", " "), subject: subject || "many", "first event": when(first), "last event": when(last),
    ...rest, id }));
  inside.append(button("Show the events", () => showEvents(id, sentence)));
  details.append(summary, inside);
  const row = element("li");
  row.append(details);
  return row;
}

/** From where, who, whom and on what host, and the technique with a link to its description. */
function chipsOf(finding) {
  const chips = element("span", "chips");
  const more = new Set(finding.more);
  for (const [name, list] of [["from", "addresses"], ["who", "users"], ["whom", "targets"], ["host", "hosts"]]) {
    const names = finding[list] ?? [];
    if (!names.length) continue;
    const hidden = names.length - FEW_NAMES;
    const others = hidden > 0 || more.has(list) ? ` +${Math.max(hidden, 0)}${more.has(list) ? " or more" : ""}` : "";
    const chip = element("span", "chip", names.slice(0, FEW_NAMES).map((one) => one || "(no name)").join(", ") + others);
    chip.prepend(element("span", "label", name), " ");
    chips.append(chip);
  }
  if (finding.technique_url) {
    const link = element("a", "chip", finding.technique);
    link.href = finding.technique_url;
    link.rel = "noreferrer noopener";
    link.title = `ATT&CK ${finding.technique}`;
    chips.append(link);
  }
  return chips;
}

/** Health that could not be asked for is not known: never what it was. */
export async function loadHealth() {
  try {
    await showHealth();
  } catch (error) {
    shown.health = "";
    tellTile("unknown", "unknown", checked ? `as of ${short(checked).slice(-8)}` : "never checked");
    find("problems").replaceChildren(element("li", "", "Not known: Heptad does not say how it is."));
    throw error;
  }
}

async function showHealth() {
  const answer = await ask("health", {});
  checked = new Date();
  tellUntil({ events: answer.looked_until, findings: answer.judged_until });
  const [state, word, remark] = judge(answer);
  tellTile(state, word, remark);
  showIfNew("health", answer, (data) => {
    const problems = data.problems.map((text) => `Problem: ${text}`);
    if (!problems.length) problems.push(word === "unknown" ? `Not known: ${remark}.` : `No problems, ${remark}.`);
    find("problems").replaceChildren(...problems.map((text) => element("li", "", text)));
    find("sources").replaceChildren(...data.sources.map((source) =>
      rowOf(source.source, source.host, short(source.last), source.programs.join(", "))));
    if (!data.sources.length) find("sources").append(rowOf("No source has given an event yet."));
    find("health-note").textContent = sayCounted(data).join(" · ");
    fillList("actions", data.actions);
    fillList("hosts", new Set(data.sources.map((source) => source.host)));
    fillList("programs", new Set(data.sources.flatMap((source) => source.programs)));
  });
}

/** Class, word and remark of how Heptad is: OK only where logs are looked at now. */
function judge(answer) {
  const seen = answer.looked_until ? short(answer.looked_until) : "";
  const count = answer.problems.length;
  const remark = seen ? `looked at until ${seen}` : "not known until when it was looked at";
  if (count) return ["wrong", count === 1 ? "1 problem" : `${count} problems`, remark];
  if (!seen) return ["unknown", "unknown", "no exporter says that it looks at logs"];
  if (answer.is_stale) return ["unknown", "unknown", `logs were last looked at ${seen}`];
  return answer.sources.length ? ["", "OK", remark] : ["unknown", "no events yet", remark];
}

function tellTile(state, word, remark) {
  find("tile-health").className = state;
  find("tile-health").replaceChildren(word, element("small", "", remark));
}

/** What one host's stores count, a phrase each; those of a fleet do not tell it. */
function sayCounted(data) {
  if (!data.lines) return [];
  const sum = (counts) => Object.values(counts).reduce((total, value) => total + value, 0);
  const unread = Object.entries(data.not_understood);
  return [
    `${number(sum(data.lines))} lines read`,
    unread.length ? `not understood: ${unread.map(([name, n]) => `${name || "without header"} ${number(n)}`).join(", ")}`
      : "all of known programs understood",
    sum(data.gaps) ? `${number(sum(data.gaps))} gaps: parts of a log that could not be read` : "no gaps",
    `stores ${(data.size / 2 ** 20).toFixed(1)} MiB`];
}

function fillList(id, values) {
  find(id).replaceChildren(...[...values].sort().map((value) => {
    const option = element("option");
    option.value = value;
    return option;
  }));
}

export async function showAllFindings() {
  showsAll = true;
  shown.findings = "";
  await run(loadFindings);
  document.querySelectorAll("#findings-list summary")[FEW_FINDINGS]?.focus();
}
