// What is shown: asked for the range in force, and put there only where it changed.
import { ask } from "./ask.js";
import { element, until } from "./elements.js";
import { range } from "./range.js";

const shown = {};

/** The answer of a view for the range in force; null where another one was chosen meanwhile. */
export async function askInRange(view, more = {}) {
  const asked = JSON.stringify(range());
  const data = await ask(view, { ...range(), ...more });
  return asked === JSON.stringify(range()) ? data : null;
}

/** Runs ``show`` where the data differ from what is shown, so that focus stays where it is. */
export function showIfNew(name, data, show) {
  const text = JSON.stringify(data);
  if (data === null || shown[name] === text) return;
  shown[name] = text;
  show(data);
}

/** Lets ``showIfNew`` show this again though it did not change. */
export const forget = (name) => { shown[name] = ""; };

/** That there is none of something, and up to when that is known. */
export function none(name, classes, text, of) {
  const [made, told] = [element(name, classes), element("span", "", `${text}, `)];
  told.append(until(of));
  made.append(told);
  return made;
}
