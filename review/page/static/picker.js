// Finds one label among a thousand: type part of its name, then Enter chooses it.

import { $, count, labelName, make } from "./dom.js";

const MOST = 50; // labels shown; typing more finds the others

export class Picker {
  #labels;
  #order = [];
  #found = [];
  #chosen = 0;
  #onPick = () => {};

  constructor(labels) {
    this.#labels = labels;
    $("picker-input").addEventListener("input", () => this.#find());
    $("picker-input").addEventListener("keydown", (event) => this.#key(event));
    $("picker-list").addEventListener("click", (event) => {
      const option = event.target.closest("[data-place]");
      if (option) this.#pick(Number(option.dataset.place));
    });
  }

  /** Opens it. likely: labels to show first; onPick: called with the chosen label. */
  open(likely, onPick) {
    const first = new Set(likely);
    this.#order = [...first, ...this.#labels.filter((label) => !first.has(label))];
    this.#onPick = onPick;
    $("picker-input").value = "";
    this.#find();
    $("picker").showModal();
  }

  #find() {
    const wanted = $("picker-input").value.trim().toLowerCase();
    const at = (label) => label.trim().toLowerCase().indexOf(wanted);
    const starting = this.#order.filter((label) => at(label) === 0);
    const found = [...starting, ...this.#order.filter((label) => at(label) > 0)];
    this.#found = found.slice(0, MOST);
    this.#chosen = 0;
    this.#draw();
    const left = found.length - this.#found.length;
    $("picker-note").textContent = !found.length
      ? `None of the ${count(this.#labels.length)} labels has that in its name.`
      : left ? `${count(left)} more; type to find them.` : "";
  }

  #draw() {
    const options = this.#found.map((label, place) =>
      make(
        "li",
        { id: `label-${place}`, role: "option", "aria-selected": String(place === this.#chosen), "data-place": place },
        labelName(label),
      ),
    );
    $("picker-list").replaceChildren(...options);
    options[this.#chosen]?.scrollIntoView({ block: "nearest" });
    if (options.length) $("picker-input").setAttribute("aria-activedescendant", `label-${this.#chosen}`);
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
    this.#onPick(label);
  }
}
