// Finds one label among a thousand: type part of its name, then Enter chooses it. May add a label, too.

import { $, count, labelName, make } from "./dom.js";
import { folded, termsOf } from "./search.js";

const MOST = 50; // labels shown; typing more finds the others

export class Picker {
  #labels;
  #order = [];
  #found = [];
  #chosen = 0;
  #onPick = () => {};
  #onAdd = null;
  #isNew = false; // whether the last option adds a label

  constructor(labels) {
    this.#labels = labels;
    $("picker-input").addEventListener("input", () => this.#find());
    $("picker-input").addEventListener("keydown", (event) => this.#key(event));
    $("picker-list").addEventListener("click", (event) => {
      const option = event.target.closest("[data-place]");
      if (option) this.#pick(Number(option.dataset.place));
    });
  }

  /** Opens it. likely: labels to show first; onPick: called with the chosen label; onAdd: with a label that is none of
   * these; null if none can be added. */
  open(likely, onPick, onAdd = null) {
    this.#onAdd = onAdd;
    const first = new Set(likely);
    this.#order = [...first, ...this.#labels.filter((label) => !first.has(label))];
    this.#onPick = onPick;
    $("picker-input").value = "";
    this.#find();
    $("picker").showModal();
  }

  /** Has a label that was added found, too. */
  add(label) {
    if (!this.#labels.includes(label)) this.#labels = [...this.#labels, label];
  }

  #find() {
    const phrase = folded($("picker-input").value.trim());
    const words = termsOf(phrase);
    const names = new Map(this.#order.map((label) => [label, folded(label.trim())]));
    const matching = this.#order.filter((label) => words.every((word) => names.get(label).includes(word)));
    // First the names that begin as typed, then those that hold it, then those that hold its words.
    const place = (label) => names.get(label).startsWith(phrase) ? 0 : names.get(label).includes(phrase) ? 1 : 2;
    const found = [0, 1, 2].flatMap((wanted) => matching.filter((label) => place(label) === wanted));
    this.#found = found.slice(0, MOST);
    const left = found.length - this.#found.length;
    const typed = $("picker-input").value.trim();
    this.#isNew = this.#onAdd !== null && typed !== "" && ![...names.values()].includes(folded(typed));
    if (this.#isNew) this.#found.push(typed);
    this.#chosen = found.length ? 0 : -1; // a new label is chosen by hand, so that no mistyped name becomes one
    this.#draw();
    $("picker-note").textContent = !found.length
      ? `None of the ${count(this.#labels.length)} labels matches.${this.#isNew ? " ↓ and Enter add a new one." : ""}`
      : left ? `${count(left)} more; type to find them.` : "";
  }

  #draw() {
    const options = this.#found.map((label, place) =>
      make(
        "li",
        { id: `label-${place}`, role: "option", "aria-selected": String(place === this.#chosen), "data-place": place },
        ...(this.#isNew && place === this.#found.length - 1 ? [make("span", { class: "faint" }, "+ new label ")] : []),
        labelName(label),
      ),
    );
    $("picker-list").replaceChildren(...options);
    options[this.#chosen]?.scrollIntoView({ block: "nearest" });
    if (options[this.#chosen]) $("picker-input").setAttribute("aria-activedescendant", `label-${this.#chosen}`);
    else $("picker-input").removeAttribute("aria-activedescendant");
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      this.#chosen = (this.#chosen + step + this.#found.length) % Math.max(1, this.#found.length);
      this.#draw();
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      event.stopPropagation(); // once the dialog is closed, it would also decide
      this.#pick(this.#chosen);
    }
  }

  #pick(place) {
    const label = this.#found[place];
    if (label === undefined) return;
    $("picker").close();
    (this.#isNew && place === this.#found.length - 1 ? this.#onAdd : this.#onPick)(label);
  }
}
