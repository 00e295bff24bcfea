// Small elements of the page; values are inserted as text, never as markup.

export const find = (id) => document.getElementById(id);

export function element(name, classes = "", text = "") {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text !== "") made.textContent = text;
  return made;
}

export function button(text, act, classes = "") {
  const made = element("button", classes, text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

export const clear = (parent) => parent.replaceChildren();

export const number = (value) => value.toLocaleString("en");

const two = (value) => String(value).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Day and time in the browser's zone; with the year if it is not the current one. */
export function short(time) {
  const date = new Date(time);
  const year = date.getFullYear() === new Date().getFullYear() ? "" : ` ${date.getFullYear()}`;
  return `${MONTHS[date.getMonth()]} ${two(date.getDate())}${year} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** The same, with the time as it is stored. */
export const when = (time) => `${short(time)} (${time})`;

/** How far the browser's zone is ahead of UTC at a time: “+01:00”. */
export function offsetOf(time) {
  const minutes = -new Date(time).getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `${minutes < 0 ? "-" : "+"}${two(hours)}:${two(rest)}`;
}

/** The browser's zone with its offset at a time: “Europe/Berlin, UTC+01:00”. */
export function zoneOf(time) {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  return timeZone && timeZone !== "UTC" ? `${timeZone}, UTC${offsetOf(time)}` : "UTC";
}

const looked = {};
const sayUntil = (of) => looked[of] ? `checked until ${short(looked[of])}` : "time of the last check unknown";

/** Up to when the ``events`` or the ``findings`` were checked: shown next to every zero. */
export function until(of) {
  const made = element("small", "until", sayUntil(of));
  made.dataset.until = of;
  return made;
}

/** Updates the time in every element that ``until`` created. */
export function tellUntil(times) {
  Object.assign(looked, times);
  for (const one of document.querySelectorAll("[data-until]")) one.textContent = sayUntil(one.dataset.until);
}

/** Names and values as a list; empty values are omitted. */
export function fillFields(fields) {
  const list = element("dl", "fields");
  for (const [name, value] of Object.entries(fields)) {
    const more = fields[`${name}_more`] === true ? " and more" : "";
    const text = (Array.isArray(value) ? value.map((one) => one === "" ? "(empty)" : one).join(", ") : String(value ?? "")) + more;
    if (text === "" || typeof value === "boolean") continue;
    const classes = name === "raw" ? "raw" : "";
    list.append(element("dt", "", name.replaceAll("_", " ")), element("dd", classes, text));
  }
  return list;
}
