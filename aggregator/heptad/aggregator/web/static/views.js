// Findings, sessions and health.
import { ask, run } from "./ask.js";
import { button, element, fillFields, find, number, short, tellUntil, until, when } from "./elements.js";
import { filterBy } from "./events.js";
import { askInRange, forget, none, showIfNew } from "./shown.js";

const FEW_FINDINGS = 5;
const FEW_NAMES = 3;
let showsAll = false;
let checked = null;

/** What a list omits: rows after its first ones, and the part of the range that took too long. */
function noteOn(data, shown, which) {
  const notes = [];
  if (data.number > shown.length) notes.push(`the ${shown.length} ${which} of ${number(data.number)}`);
  if (data.from) notes.push(`only since ${short(data.from)}; choose a shorter range to see older ones`);
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

const NO_END = { reused: "no end logged", never: "no end logged", open: "open" };

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

/** A row of a table that is shown as cards on a narrow screen, which removes its implicit roles. */
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

/** Source, user, target and host, and the technique with a link to its description. */
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

/** If the health cannot be read, it is unknown, never the previous one. */
export async function loadHealth() {
  try {
    await showHealth();
  } catch (error) {
    forget("health");
    tellTile("unknown", "unknown", checked ? `as of ${short(checked).slice(-8)}` : "never checked");
    find("problems").replaceChildren(element("li", "", "Unknown: Heptad does not report its health."));
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
    if (!problems.length) problems.push(word === "unknown" ? `Unknown: ${remark}.` : `No problems, ${remark}.`);
    find("problems").replaceChildren(...problems.map((text) => element("li", "", text)));
    find("sources").replaceChildren(...data.sources.map((source) =>
      rowOf(source.source, source.host, short(source.last), source.programs.join(", "))));
    if (!data.sources.length) find("sources").append(rowOf("No source has delivered an event yet."));
    find("health-note").textContent = sayCounted(data).join(" · ");
    fillList("actions", data.actions);
    fillList("hosts", new Set(data.sources.map((source) => source.host)));
    fillList("programs", new Set(data.sources.flatMap((source) => source.programs)));
  });
}

/** CSS class, word and remark of the health: OK only if logs are being checked now. */
function judge(answer) {
  const seen = answer.looked_until ? short(answer.looked_until) : "";
  const count = answer.problems.length;
  const remark = seen ? `checked until ${seen}` : "time of the last check unknown";
  if (count) return ["wrong", count === 1 ? "1 problem" : `${count} problems`, remark];
  if (!seen) return ["unknown", "unknown", "no exporter reports that it reads logs"];
  if (answer.is_stale) return ["unknown", "unknown", `logs were last checked ${seen}`];
  return answer.sources.length ? ["", "OK", remark] : ["unknown", "no events yet", remark];
}

function tellTile(state, word, remark) {
  find("tile-health").className = state;
  find("tile-health").replaceChildren(word, element("small", "", remark));
}

/** The counts of one host's stores, one phrase each; the stores of a fleet do not have them. */
function sayCounted(data) {
  if (!data.lines) return [];
  const sum = (counts) => Object.values(counts).reduce((total, value) => total + value, 0);
  const unread = Object.entries(data.not_understood);
  return [
    `${number(sum(data.lines))} lines read`,
    unread.length ? `not understood: ${unread.map(([name, n]) => `${name || "without header"} ${number(n)}`).join(", ")}`
      : "all lines of known programs understood",
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
  forget("findings");
  await run(loadFindings);
  document.querySelectorAll("#findings-list summary")[FEW_FINDINGS]?.focus();
}
