// Makes elements. Texts are only ever inserted as text nodes: nothing on the page is parsed as HTML.

export const $ = (id) => document.getElementById(id);

const number = new Intl.NumberFormat("en");
export const count = (value) => number.format(value);
export const percent = (share) => (share === null ? "–" : share > 0 && share < 0.01 ? "<1 %" : `${Math.round(100 * share)} %`);
export const fixed = (value) => (value === null ? "–" : value.toFixed(2));
const NO_LABEL = "(no label)";
export const records = (n) => `${count(n)} ${n === 1 ? "record" : "records"}`;

/** An element with attributes (those that are false or null are omitted) and children (texts or elements). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A label's name, isolated from the text around it; outer spaces are shown, since labels may differ only in those. */
export function labelName(name) {
  const element = make("bdi", { class: "name" });
  const [, before, middle, after] = /^(\s*)([^]*?)(\s*)$/u.exec(name);
  if (before) element.append(spaces(before));
  element.append(middle);
  if (after) element.append(spaces(after));
  if (!name) element.append(make("span", { class: "faint" }, "(empty)"));
  return element;
}

/** The names of a set of labels. */
export function labelNames(names) {
  if (!names.length) return [make("span", { class: "none" }, NO_LABEL)];
  return names.flatMap((name, place) => [...(place ? [", "] : []), labelName(name)]);
}

const spaces = (run) => make("span", { class: "faint", title: "spaces" }, "␣".repeat(run.length));

/** The same for places that take only text: the name of a label, or the names of a set. */
export const labelText = (name) =>
  Array.isArray(name)
    ? name.map(labelText).join(", ") || NO_LABEL
    : name ? name.replace(/^\s+|\s+$/gu, (run) => "␣".repeat(run.length)) : "(empty)";
