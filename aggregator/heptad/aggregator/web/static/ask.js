// Requests to the views of /api/, and the report of what goes wrong.
import { find } from "./elements.js";

export const FILTERS = ["host", "program", "action", "outcome", "user", "address", "text"];

/** Returns the response of a view; throws an Error with the reason if there is none. */
export async function askFor(view, parameters) {
  const query = new URLSearchParams(
    Object.entries(parameters).filter(([, value]) => value !== "" && value !== null));
  let answer;
  try {
    answer = await fetch(`api/${view}?${query}`, { signal: AbortSignal.timeout(15000) });
  } catch {
    throw new Error("Heptad does not answer. Check that it is running.");
  }
  if (answer.ok) return answer;
  const { error } = await answer.json().catch(() => ({ error: `Heptad answers ${answer.status}` }));
  throw new Error(error);
}

export async function ask(view, parameters) {
  const data = await (await askFor(view, parameters)).json();
  document.body.dataset.read = "true";
  return data;
}

export const filters = () => {
  const form = new FormData(find("filters"));
  return Object.fromEntries(FILTERS.map((name) => [name, form.get(name).trim()]));
};

export function tellProblem(error) {
  const banner = find("banner");
  banner.hidden = !error;
  const text = error ? error.message : "";
  if (banner.textContent !== text) banner.textContent = text;
  // nothing was read yet, so only the reason can be shown
  if (error && !document.body.dataset.read) document.body.dataset.unread = "true";
  else delete document.body.dataset.unread;
}

/** Runs views at the same time and shows the first problem; returns whether there was none. */
export async function run(...views) {
  const done = await Promise.allSettled(views.map((view) => view()));
  const failed = done.find((result) => result.status === "rejected");
  if (failed) tellProblem(failed.reason);
  return !failed;
}
