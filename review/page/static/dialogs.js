// The dialogs: who reviews, a decision about all records of the list, the guidelines and the help.

import { $, count, labelText, records } from "./dom.js";
import { keep, keepHere, kept, keptHere } from "./kept.js";
import { rendered } from "./markdown.js";

const KEPT_NAME = "lossaudit.annotator";
const KEPT_KEYS = "lossaudit.single-keys";

/** The annotator's name: the one typed in this tab, else the one `given` by the command; null if there is neither. Two
 * people may review in two tabs of one browser, so a name typed in another tab is only suggested. */
export const keptName = (given) => keptHere(KEPT_NAME) ?? given;

/** Asks for the name. known: who has decided so far; onName: called with the answer. */
export function askName(current, known, onName) {
  const dialog = $("name-dialog");
  $("names").replaceChildren(...known.map((name) => new Option(name)));
  $("name").value = current ?? kept(KEPT_NAME) ?? "";
  $("name").select();
  dialog.oncancel = (event) => current ?? event.preventDefault(); // nothing can be decided without one
  dialog.onclose = () => dialog.returnValue !== "ok" && current === null && askName(current, known, onName);
  // The dialog's own event comes later, when keys may have been pressed.
  dialog.querySelector("form").onsubmit = (event) => {
    const name = $("name").value.trim();
    if (!name) return event.preventDefault();
    keep(KEPT_NAME, name);
    keepHere(KEPT_NAME, name);
    return onName(name);
  };
  dialog.returnValue = "";
  dialog.showModal();
}

/** Asks how to decide all records of a list. found: how many, of which `decided` have a decision. */
export function askBulk(found, decided, narrow, labels, onDecision) {
  const dialog = $("bulk");
  for (const select of dialog.querySelectorAll("select")) {
    if (!select.length) select.replaceChildren(...labels.map((label) => new Option(labelText(label))));
    select.onchange = () => {
      select.closest(".choice").querySelector("input").checked = true;
    };
  }
  $("bulk-title").textContent = found === 1 ? "Decide 1 record" : `Decide ${narrow ? "these" : "all"} ${records(found)}`;
  $("bulk-note").textContent =
    (narrow ? "These are all records that match the filters. " : "No filter is set: these are all records under review. ") +
    (decided ? `${count(decided)} of them ${decided === 1 ? "has a decision, which this replaces. " : "have a decision, which this replaces. "}` : "") +
    "One undo takes all of it back.";
  $("bulk-confirm").textContent = `Decide ${records(found)}`;
  $("bulk-cancel").onclick = () => dialog.close("");
  dialog.onclose = () => {
    if (dialog.returnValue !== "ok") return;
    const verdict = dialog.querySelector("[name=verdict]:checked");
    const select = verdict.closest(".choice").querySelector("select");
    onDecision(verdict.value, select ? labels[select.selectedIndex] : null);
  };
  dialog.querySelector("[value=accept]").checked = true;
  dialog.returnValue = "";
  dialog.showModal();
}

/** Whether letters and digits decide. */
export const singleKeys = () => kept(KEPT_KEYS) !== "off";

/** text: in Markdown. */
export function openGuidelines(text) {
  $("guidelines-text").replaceChildren(...rendered(text));
  $("guidelines").showModal();
}

export function openHelp() {
  $("single-keys").checked = singleKeys();
  $("single-keys").onchange = () => keep(KEPT_KEYS, $("single-keys").checked ? "on" : "off");
  $("help").showModal();
}
