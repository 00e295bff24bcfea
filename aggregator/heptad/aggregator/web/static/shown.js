// Requests the views for the current range, and updates the page only where something changed.
import { ask } from "./ask.js";
import { element, until } from "./elements.js";
import { range } from "./range.js";

const shown = {};

/** The response of a view for the current range; null if the range has changed in the meantime. */
export async function askInRange(view, more = {}) {
  const asked = JSON.stringify(range());
  const data = await ask(view, { ...range(), ...more });
  return asked === JSON.stringify(range()) ? data : null;
}

/** Runs ``show`` if the data differ from those shown, so that the focus does not move. */
export function showIfNew(name, data, show) {
  const text = JSON.stringify(data);
  if (data === null || shown[name] === text) return;
  shown[name] = text;
  show(data);
}

/** Makes ``showIfNew`` show this again even if it did not change. */
export const forget = (name) => { shown[name] = ""; };

/** States that there is none of something, and up to when that is known. */
export function none(name, classes, text, of) {
  const [made, told] = [element(name, classes), element("span", "", `${text}, `)];
  told.append(until(of));
  made.append(told);
  return made;
}
