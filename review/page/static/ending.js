// What to do next, once all records are decided.

import { $, make, records } from "./dom.js";

let wasShown = false;

/** Says once that all records are decided, and with which commands to go on. losses: the losses file's path. */
export function showEnding(total, losses) {
  if (wasShown) return;
  wasShown = true;
  const file = /^[\w./-]+$/.test(losses) ? losses : `'${losses.replaceAll("'", "'\\''")}'`;
  const next = [
    [`lossaudit apply ${file} -o cleaned.csv`, "writes the dataset with the labels that you decided"],
    [`lossaudit report ${file} -o report.html`, "writes a page about the losses and the decisions, to share"],
    [`lossaudit review ${file} -n ${2 * total}`, "goes on with twice as many records"],
  ];
  $("ending-title").textContent = `All ${records(total)} are decided`;
  $("ending-next").replaceChildren(
    ...next.map(([command, what]) => make("li", {}, make("code", {}, command), make("span", { class: "note" }, what))),
  );
  $("ending").showModal();
}
