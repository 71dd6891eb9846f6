// Which key does what: turns key presses into the names of actions.

import { $, make } from "./dom.js";

const ONE_LABEL = [
  ["accept", ["Enter", "a"], "Accept the prediction"],
  ["keep", ["k"], "Keep the given label"],
  ["class", ["0–9"], "Choose the class with this digit"],
  ["find", ["/"], "Find another label by name"],
];
const SETS = [
  ["confirm", ["Enter"], "Confirm the ticked labels; the predicted ones are ticked at first"],
  ["class", ["0–9"], "Tick the label with this digit, or untick it"],
  ["find", ["/"], "Tick another label by name"],
  ["accept", ["a"], "Accept the predicted labels"],
  ["keep", ["k"], "Keep the given labels"],
];
const KEYS = [
  ["unsure", ["u"], "Unsure"],
  ["discard", ["d"], "Discard the example from the dataset"],
  ["note", ["n"], "Write a note, choose tags; they go with the decision"],
  ["undo", ["z", "Ctrl+Z"], "Take back your last step"],
  ["next", ["→", "j"], "Next record"],
  ["back", ["←", "p"], "Previous record"],
  ["scroll", ["Space"], "Scroll a long text"],
  ["search", ["s"], "Search the texts"],
  ["bulk", ["b"], "Decide all records in the list"],
  ["guidelines", ["g"], "Show the guidelines, if there are any"],
  ["help", ["?"], "This help"],
];
const NAMES = { ArrowRight: "→", ArrowLeft: "←" };
const SCROLLS = { " ": 0.8, PageDown: 0.8, PageUp: -0.8, ArrowDown: 0.12, ArrowUp: -0.12 }; // in heights of the scrolled element
const REPEATABLE = ["next", "back"]; // a key held down must not decide what nobody has seen
const TYPED_IN = "input, select, textarea, [contenteditable]";

/** Calls act(action, key) for each key that has a meaning where it is pressed, and fills the table of the help.
 * multiLabel: whether records have sets of labels; singleKeys(): whether letters and digits have a meaning. */
export function listen(act, multiLabel, singleKeys) {
  const known = [...(multiLabel ? SETS : ONE_LABEL), ...KEYS];
  const actions = new Map(known.flatMap(([action, keys]) => keys.map((key) => [key, action])));
  describe(known);
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.altKey || document.querySelector("dialog[open]")) return;
    // A dialog that was just closed keeps the focus until the next frame.
    const target = event.target.closest("dialog") ? document.body : event.target;
    if (target.matches(TYPED_IN)) {
      if (event.key === "Escape" || (event.key === "Enter" && target.type === "search")) $("record").focus();
      return;
    }
    if (event.key in SCROLLS && [document.body, $("record")].includes(target)) {
      event.preventDefault();
      scroll(event.key === " " && event.shiftKey ? -0.8 : SCROLLS[event.key]);
      return;
    }
    const [action, key] = actionOf(event, actions, singleKeys());
    if (!action || (event.repeat && !REPEATABLE.includes(action))) return;
    event.preventDefault();
    act(action, key);
  });
}

/** Scrolls the record; on a narrow page it scrolls with the whole page. */
function scroll(heights) {
  for (const box of [$("record"), document.querySelector("main")]) box.scrollBy({ top: heights * box.clientHeight });
}

/** The action of a key, and the letter or digit that it stands for. */
function actionOf(event, actions, singleKeys) {
  if (event.ctrlKey || event.metaKey) return [lettered(event) === "z" && !event.shiftKey ? "undo" : null];
  if (event.key === "Enter" && event.target.closest("button, a, summary")) return [null]; // it presses that element
  if (/^[A-Z][A-Za-z0-9]+$/.test(event.key)) return [actions.get(NAMES[event.key] ?? event.key)];
  if (!singleKeys) return [null];
  for (const key of [event.key.toLowerCase(), lettered(event), digit(event)]) {
    if (/^[0-9]$/.test(key)) return ["class", key];
    if (actions.has(key)) return [actions.get(key), key];
  }
  return [null];
}

/** The letter that a key types; in Russian, Greek, Hebrew or Arabic, the Latin letter at its place. */
function lettered(event) {
  const isForeign = /^[^\u0000-\u007f]+$/u.test(event.key);
  return isForeign ? /^Key([A-Z])$/.exec(event.code)?.[1].toLowerCase() : event.key.toLowerCase();
}

/** The digit at a key's place, since digits need Shift in French and Czech, and are other ones in Arabic. */
const digit = (event) => (event.shiftKey ? undefined : /^Digit([0-9])$/.exec(event.code)?.[1]);

function describe(known) {
  const rows = known.map(([, keys, what]) => {
    const shown = keys.flatMap((key, index) => [
      ...(index ? [make("span", { class: "faint" }, " or ")] : []),
      make("kbd", {}, key.length === 1 ? key.toUpperCase() : key),
    ]);
    return make("tr", {}, make("th", { scope: "row" }, ...shown), make("td", {}, what));
  });
  $("keys").replaceChildren(...rows);
}
