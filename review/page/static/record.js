// The record in the middle: its text, its labels as bars, and what was decided about it.

import { $, count, fixed, labelName, make, marked, percent } from "./dom.js";
import { VERDICTS } from "./list.js";

const SHOWN = 20_000; // characters of a text that are laid out at once

/** Shows a record. place: where it stands in the list, from 0, of `total`; search: what to mark in its text. */
export function showRecord(record, place, total, search) {
  document.body.classList.remove("nothing");
  $("title").replaceChildren(`Record ${count(place + 1)} of ${count(total)}`);
  $("facts").replaceChildren(
    make("span", {}, "loss ", make("b", {}, fixed(record.loss))),
    make("span", {}, `rank ${count(record.rank)}`),
    make("span", {}, `row ${record.row}`),
    ...(record.truncated ? [make("span", { class: "warn" }, "the model saw only the beginning")] : []),
  );
  showText(record.text, search);
  showMetadata(record.metadata);
  showClasses(record);
  $("accept-label").replaceChildren("Accept ", labelName(record.prediction));
  $("keep-label").replaceChildren("Keep ", labelName(record.label));
  showDecision(record);
}

/** Shows that the list is empty. */
export function showNothing(why) {
  document.body.classList.add("nothing");
  for (const id of ["title", "facts", "text", "metadata", "classes"]) $(id).replaceChildren();
  for (const id of ["text", "text-more", "metadata", "decision"]) $(id).hidden = true;
  $("empty").hidden = false;
  $("empty").textContent = why;
}

/** What was decided: the decision that counts, and those that others made before. */
export function showDecision(record) {
  const last = record.history.at(-1);
  $("decision").hidden = !last;
  $("record").dataset.verdict = last?.verdict ?? "";
  const lines = record.history.slice(-3).reverse().map((decision, index) =>
    make(
      "div",
      { class: index ? "earlier" : "latest", "data-verdict": decision.verdict },
      ...(index ? ["before that: "] : []),
      make("b", {}, VERDICTS[decision.verdict]),
      ...(decision.label === null ? [] : [" as ", labelName(decision.label)]),
      make("span", { class: "by" }, " by ", make("bdi", {}, decision.annotator), " ", time(decision.made_at)),
    ),
  );
  $("decision").replaceChildren(...lines);
  for (const button of $("classes").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.label === chosenLabel(record)));
  }
}

function chosenLabel(record) {
  const last = record.history.at(-1);
  return last?.verdict === "relabel" ? last.label : last?.verdict === "keep" ? record.label : null;
}

function showText(text, search) {
  const box = $("text");
  const whole = text.length <= SHOWN;
  // Never between the halves of one character.
  const beginning = whole ? text : text.slice(0, SHOWN).replace(/[\uD800-\uDBFF]$/u, "");
  box.hidden = false;
  box.classList.toggle("long", text.length > 600);
  box.replaceChildren(...(text ? marked(beginning, search) : [make("span", { class: "faint" }, "(empty text)")]));
  for (const scrolled of [$("record"), document.querySelector("main")]) scrolled.scrollTop = 0;
  const more = $("text-more");
  more.hidden = whole;
  more.textContent = `Show all ${count(text.length)} characters`;
  more.onclick = () => {
    box.replaceChildren(...marked(text, search));
    more.hidden = true;
    box.focus();
  };
}

function showMetadata(metadata) {
  const box = $("metadata");
  box.hidden = !metadata.length;
  box.replaceChildren(
    ...metadata.map(([name, value]) => make("div", {}, make("dt", {}, make("bdi", {}, name)), make("dd", { dir: "auto" }, value))),
  );
}

function showClasses(record) {
  const rows = record.classes.map(([name, probability], index) => {
    const isGiven = name === record.label;
    const isPredicted = name === record.prediction;
    const bar = make("span", { class: "fill" });
    bar.style.width = `${100 * (probability ?? 0)}%`;
    const button = make(
      "button",
      { type: "button", class: "class", "aria-pressed": "false", "data-given": isGiven, "data-predicted": isPredicted },
      make("kbd", {}, String((index + 1) % 10)),
      make(
        "span",
        { class: "class-name" },
        labelName(name),
        ...(isGiven ? [make("span", { class: "tag given" }, "given")] : []),
        ...(isPredicted ? [make("span", { class: "tag predicted" }, "predicted")] : []),
      ),
      make("span", { class: "share" }, percent(probability)),
      make("span", { class: "bar", "aria-hidden": "true" }, bar),
    );
    button.dataset.label = name;
    return make("li", {}, button);
  });
  $("classes").replaceChildren(...rows);
  $("empty").hidden = true;
}

function time(iso) {
  const made = new Date(iso);
  const seconds = (Date.now() - made) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return made.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
