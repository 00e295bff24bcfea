// Users by hour of the day, as rows of cells; a darker cell is a larger number.
import { button, element, find, number, until } from "./elements.js";

const SHADES = 5;
const two = (value) => String(value).padStart(2, "0");
const span = (hour) => `${two(hour)}:00–${two((hour + 1) % 24)}:00`;
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Draws the response of the view ``hours``; ``choose`` is called with the name that is clicked. */
export function drawHours(data, word, choose) {
  const most = Math.max(0, ...data.rows.flatMap((row) => row.hours), ...data.others);
  const rows = data.rows.map((row) => ({ name: row.name || "(empty name)", hours: row.hours,
    act: row.name ? () => choose(row.name) : null }));
  if (sum(data.others)) rows.push({ name: "all others", hours: data.others, act: null });
  find("hours-map").replaceChildren(...(rows.length
    ? [...rows.map((row) => drawRow(row, most, word)), drawScale()]
    : [drawNone(word)]));
  find("hours-shades").replaceChildren(...(most ? drawShades(most) : []));
  find("hours-rows").replaceChildren(...rows.map(writeRow));
}

function drawRow({ name, hours, act }, most, word) {
  const row = element("div", "heat-row");
  const label = act ? button(name, act, "link name mono") : element("span", "name rest", name);
  label.title = name;
  const cells = element("div", "heat-cells");
  cells.setAttribute("role", "img");
  const peak = hours.indexOf(Math.max(...hours));
  cells.setAttribute("aria-label",
    `${name}: ${number(sum(hours))} ${word}, most from ${span(peak)}: ${number(hours[peak])}`);
  hours.forEach((count, hour) => {
    const cell = element("span", `heat s${shadeOf(count, most)}`);
    cell.title = `${name}, ${span(hour)}: ${number(count)} ${word}`;
    cell.addEventListener("mouseenter", () => { find("hours-value").textContent = cell.title; });
    cells.append(cell);
  });
  cells.addEventListener("mouseleave", () => { find("hours-value").textContent = ""; });
  row.append(label, cells);
  return row;
}

/** By order of magnitude, so that one attempt is visible next to a thousand. */
function shadeOf(count, most) {
  if (!count) return 0;
  return most <= 1 ? SHADES : 1 + Math.round((SHADES - 1) * Math.log(count) / Math.log(most));
}

function drawScale() {
  const row = element("div", "heat-row heat-scale");
  const cells = element("div", "heat-cells");
  cells.setAttribute("aria-hidden", "true");
  for (let hour = 0; hour < 24; hour += 1) cells.append(element("span", "", hour % 6 ? "" : two(hour)));
  row.append(element("span", "name"), cells);
  return row;
}

function drawShades(most) {
  const shades = [];
  for (let shade = 1; shade <= SHADES; shade += 1) shades.push(element("span", `heat s${shade}`));
  return [element("span", "", "1 "), ...shades, element("span", "", ` ${number(most)}`)];
}

function drawNone(word) {
  const none = element("p", "rest", `No ${word} logins in this range, `);
  none.append(until("events"));
  return none;
}

function writeRow({ name, hours }) {
  const row = element("tr");
  const head = element("th", "", name);
  head.scope = "row";
  row.append(head, ...hours.map((count) => element("td", "", count ? number(count) : "")));
  return row;
}
