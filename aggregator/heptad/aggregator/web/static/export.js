// Saves the events with the current filters, or the findings, as a file.
import { askFor, tellProblem } from "./ask.js";
import { button, element, find } from "./elements.js";

/** Adds the buttons for both formats to the element ``id``; ``choose`` returns view and parameters. */
export function offerExport(id, of, choose) {
  const made = ["csv", "json"].map((format) => {
    const one = button(format.toUpperCase(), () => save(one, format, choose()), "link");
    one.setAttribute("aria-label", `Save the ${of} as ${format.toUpperCase()}`);
    return one;
  });
  find(id).replaceChildren(element("span", "", "Save as "), made[0], " · ", made[1]);
}

async function save(pressed, format, { view, ...parameters }) {
  pressed.disabled = true;
  try {
    const answer = await askFor(`${view}.${format}`, parameters);
    const name = /filename="([\w.-]+)"/.exec(answer.headers.get("Content-Disposition") ?? "");
    const link = element("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = name ? name[1] : `heptad.${format}`;
    link.click();
    // the browser has taken it over by then
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    find("told").textContent = `Saved as ${link.download}`;
    tellProblem(null);
  } catch (error) {
    tellProblem(error);
  } finally {
    pressed.disabled = false;
    pressed.focus();
  }
}
