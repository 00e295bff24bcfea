// Attempts over time, by service and by hour, and who fails most.
import { makeChart, tableOf } from "./chart.js";
import { button, element, find, number, offsetOf, short, until } from "./elements.js";
import { filterBy } from "./events.js";
import { drawHours } from "./heat.js";
import { askInRange, forget, none, showIfNew } from "./shown.js";

export async function loadSeries() {
  showIfNew("series", await askInRange("series"), showSeries);
}

function showSeries(data) {
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const [failed, succeeded] = [sum(data.failures), sum(data.successes)];
  find("tile-failures").replaceChildren(number(failed), until("events"));
  find("tile-successes").replaceChildren(number(succeeded), until("events"));
  find("series-note").textContent =
    data.from ? `counted since ${short(data.from)}; reports for earlier times are being computed` : "";
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

/** The response of a view in the browser's zone, or with its offset if the server has no such zone. */
async function askInZone(view, more = {}) {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  try {
    return [await askInRange(view, { ...more, zone: timeZone }), timeZone];
  } catch (error) {
    if (!error.message.startsWith("`zone`")) throw error;
    const offset = offsetOf(Date.now());
    return [await askInRange(view, { ...more, zone: offset }), `UTC${offset}`];
  }
}

const outcomeOfHours = () => find("hours-outcome").value;

/** Users by hour of successful logins; those of failed logins come with the ranking. */
export async function loadHours() {
  if (outcomeOfHours() === "success") showHours("success", ...await askInZone("hours", { outcome: "success" }));
}

/** The other users by hour. */
export async function changeHours() {
  forget("hours");
  if (outcomeOfHours() === "success") return loadHours();
  return loadTop();
}

function showHours(outcome, answer, zone) {
  if (outcomeOfHours() !== outcome) return;
  showIfNew("hours", answer, (data) => {
    find("hours-note").textContent = data.from ? `${zone}; counted since ${short(data.from)}` : zone;
    const heads = Array.from({ length: 24 }, (_, hour) => String(hour));
    find("hours-head").replaceChildren(...["User", ...heads].map(writeHead));
    drawHours(data, WORDS[outcome], (user) => filterBy({ user, outcome, action: "login" }));
  });
}

export async function loadTop() {
  const [answer, zone] = await askInZone("top");
  if (answer) showHours("failure", { ...answer.hours, from: answer.from }, zone);
  showIfNew("top", answer, (data) => {
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
