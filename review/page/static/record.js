// The record in the middle: its labels as bars, and the decisions about it.

import { $, count, fixed, labelName, labelNames, labelText, make, percent } from "./dom.js";
import { VERDICTS } from "./list.js";
import { remarkParts } from "./remarks.js";
import { hideTexts } from "./text.js";

/** Shows a record without its texts. place: its place in the list, from 0, of `total`; choice: the ticked labels, where
 * records have sets of labels. */
export function showRecord(record, place, total, choice) {
  document.body.classList.remove("nothing");
  $("title").replaceChildren(`Record ${count(place + 1)} of ${count(total)}`);
  $("facts").replaceChildren(
    make("span", {}, "loss ", make("b", {}, fixed(record.loss))),
    make("span", {}, `rank ${count(record.rank)}`),
    make("span", {}, `row ${record.row}`),
    ...(record.truncated ? [make("span", { class: "warn" }, "the model saw only the beginning")] : []),
  );
  showMetadata(record.metadata);
  $("empty").hidden = true;
  if (choice) showChoice(record, choice);
  else showLabels(record);
  showDecision(record, choice);
}

function showLabels(record) {
  $("accept-label").replaceChildren("Accept ", labelName(record.prediction));
  $("keep-label").replaceChildren("Keep ", labelName(record.label));
  const { label, prediction } = record;
  $("accept").hidden = label === prediction; // both buttons would do the same
  $("keep").classList.toggle("alone", label === prediction);
  showClasses(record.classes, (name) => ({ given: name === label, predicted: name === prediction, doubted: false }));
}

/** Shows which labels are ticked, and what confirming them means. */
export function showChoice(record, choice) {
  const { given, predicted, worst, is_given: isGiven, probability } = record.doubt;
  $("doubt").hidden = false;
  $("doubt").replaceChildren(
    make("b", {}, labelName(worst)),
    isGiven ? " is given; the model gives it " : " isn’t given; the model gives it ",
    make("b", {}, percent(probability)),
  );
  $("accept-label").replaceChildren(choice.is(predicted) ? "Accept " : "Confirm ", ...labelNames(choice.labels));
  $("keep-label").replaceChildren("Keep ", ...labelNames(given));
  const known = new Set(record.classes.map(([name]) => name));
  const found = choice.labels.filter((name) => !known.has(name)).map((name) => [name, null]);
  showClasses([...record.classes, ...found], (name) => ({
    given: given.includes(name),
    predicted: predicted.includes(name),
    doubted: name === worst,
  }));
  for (const button of $("classes").querySelectorAll("button")) press(button, choice.has(button.dataset.label));
}

/** Shows that the list is empty. */
export function showNothing(why) {
  document.body.classList.add("nothing");
  hideTexts();
  for (const id of ["title", "facts", "metadata", "classes"]) $(id).replaceChildren();
  for (const id of ["metadata", "decision", "remark", "doubt"]) $(id).hidden = true;
  $("empty").hidden = false;
  $("empty").textContent = why;
}

/** Shows the decision that counts, and earlier ones. */
export function showDecision(record, choice) {
  const last = record.history.at(-1);
  $("decision").hidden = !last;
  $("record").dataset.verdict = last?.verdict ?? "";
  const lines = record.history.slice(-3).reverse().map((decision, index) =>
    make(
      "div",
      { class: index ? "earlier" : "latest", "data-verdict": decision.verdict },
      ...(index ? ["earlier: "] : []),
      make("b", {}, VERDICTS[decision.verdict]),
      ...(decision.label === null ? [] : [" as ", ...labelNames([decision.label].flat())]),
      make("span", { class: "by" }, " by ", make("bdi", {}, decision.annotator), ...role(decision), " ", time(decision.made_at)),
      ...remarkParts(decision),
    ),
  );
  $("decision").replaceChildren(...lines);
  if (choice) return;
  for (const button of $("classes").querySelectorAll("button")) press(button, button.dataset.label === chosenLabel(record));
}

const role = ({ origin }) => (origin === "adjudication" ? [" (adjudicator)"] : []);

/** A decision as a sentence. */
export function sentence({ annotator, verdict, label, made_at: madeAt }) {
  const what = {
    relabel: `relabelled this as ${labelText(label)}`,
    keep: "kept the given label",
    unsure: "was unsure about this",
    discard: "discarded this",
  };
  return `${annotator} ${what[verdict]} ${time(madeAt)}`;
}

/** The labels as a screen reader says them. */
export function spokenLabels({ label, prediction, classes, doubt }) {
  const share = (wanted) => percent(classes.find(([name]) => name === wanted)?.[1] ?? null);
  if (!doubt) return `Given ${labelText(label)}. Predicted ${labelText(prediction)}, ${share(prediction)}.`;
  const told = `${labelText(doubt.worst)}, ${doubt.is_given ? "given" : "missing"}, ${percent(doubt.probability)}`;
  return `Given ${labelText(doubt.given)}. Predicted ${labelText(doubt.predicted)}. Doubted ${told}.`;
}

const press = (button, pressed) => button.setAttribute("aria-pressed", String(pressed));

function chosenLabel(record) {
  const last = record.history.at(-1);
  return last?.verdict === "relabel" ? last.label : last?.verdict === "keep" ? record.label : null;
}

function showMetadata(metadata) {
  const box = $("metadata");
  box.hidden = !metadata.length;
  box.replaceChildren(
    ...metadata.map(([name, value]) => make("div", {}, make("dt", {}, make("bdi", {}, name)), make("dd", { dir: "auto" }, value))),
  );
}

/** classes: [[label, probability], …]; tagsOf(label): whether it is given, predicted, doubted. */
function showClasses(classes, tagsOf) {
  const rows = classes.map(([name, probability], index) => {
    const tags = tagsOf(name);
    const bar = make("span", { class: "fill" });
    bar.style.width = `${100 * (probability ?? 0)}%`;
    const button = make(
      "button",
      {
        type: "button",
        class: "class",
        "aria-pressed": "false",
        "data-given": tags.given,
        "data-predicted": tags.predicted,
        "data-doubted": tags.doubted,
      },
      make("kbd", {}, index < 10 ? String((index + 1) % 10) : ""),
      make(
        "span",
        { class: "class-name" },
        labelName(name),
        ...Object.keys(tags).filter((tag) => tags[tag]).map((tag) => make("span", { class: `tag ${tag}` }, tag)),
      ),
      make("span", { class: "share" }, percent(probability)),
      make("span", { class: "bar", "aria-hidden": "true" }, bar),
    );
    button.dataset.label = name;
    return make("li", {}, button);
  });
  $("classes").replaceChildren(...rows);
}

function time(iso) {
  const made = new Date(iso);
  const seconds = (Date.now() - made) / 1000;
  if (seconds < 60) return "just now";
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return minutes === 1 ? "1 minute ago" : `${minutes} minutes ago`;
  return made.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
