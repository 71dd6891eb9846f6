// The filters and the order: a form, the query that it makes, and the query in the page's address.

import { viewer } from "./api.js";
import { $, count, labelText } from "./dom.js";
import { keepHere, keptHere } from "./kept.js";

const LABELS = ["given", "predicted", "doubted"];
const DEFAULTS = { given: null, predicted: null, doubted: null, status: "all", text: "", sort: "loss" };
const KEPT_MINE = "lossaudit.mine";
const MANY = 30; // labels in a menu; of more, one is found by its name
const FIND = "Find a label…";
const TYPING_MS = 150; // a search starts after so long without a key press

export class Filters {
  #names;
  #chosen = {}; // place of each menu's label
  #timer;

  /** counts: {given, predicted, doubted}, each [[label, records], …]; picker: finds a label of many; onChange: called
   * when the query changes; onMine: called when other people's decisions begin or cease to count. */
  constructor(counts, picker, onChange, onMine) {
    this.#names = Object.fromEntries(LABELS.map((name) => [name, fill($(`filter-${name}`), counts[name])]));
    this.#read(new URLSearchParams(location.search));
    $("filter-text").addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(onChange, TYPING_MS);
    });
    // A choice made with the mouse is final; the keyboard passes through other options on the way.
    let byMouse = false;
    $("filters").addEventListener("pointerdown", () => (byMouse = true));
    $("filters").addEventListener("keydown", () => (byMouse = false));
    for (const id of [...LABELS, "status", "sort"]) {
      $(`filter-${id}`).addEventListener("change", ({ target }) => {
        if (target.selectedOptions[0].text === FIND) return this.#find(id, picker, onChange);
        this.#chosen[id] = target.selectedIndex;
        if (byMouse) $("record").focus();
        return onChange();
      });
    }
    const mine = $("filter-mine");
    mine.checked = keptHere(KEPT_MINE) === "yes";
    viewer.whose = mine.checked ? "me" : "anyone";
    mine.addEventListener("change", () => {
      keepHere(KEPT_MINE, mine.checked ? "yes" : "no");
      viewer.whose = mine.checked ? "me" : "anyone";
      if (byMouse) $("record").focus();
      onMine();
    });
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("clear").addEventListener("click", () => {
      this.#read(new URLSearchParams({ sort: this.query.sort ?? DEFAULTS.sort }));
      onChange();
    });
  }

  /** What differs from the defaults, as the server expects it. */
  get query() {
    const values = {
      ...Object.fromEntries(LABELS.map((name) => [name, this.#names[name][$(`filter-${name}`).selectedIndex]])),
      status: $("filter-status").value,
      text: $("filter-text").value,
      sort: $("filter-sort").value,
    };
    return Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== DEFAULTS[name]));
  }

  get search() {
    return $("filter-text").value;
  }

  /** Whether a filter may leave out records. */
  get isNarrow() {
    return Object.keys(this.query).some((name) => name !== "sort");
  }

  /** Puts the query and the record's rank into the address, so that a reload shows the same. */
  remember(rank) {
    const values = new URLSearchParams(this.query);
    if (rank !== undefined) values.set("rank", rank);
    history.replaceState(null, "", `${location.pathname}?${values}`);
  }

  /** The rank in the address, or null. */
  static rank() {
    const rank = Number(new URLSearchParams(location.search).get("rank"));
    return rank > 0 ? rank : null;
  }

  /** Lets a person choose a label by name; the menu keeps its label until they do. */
  #find(name, picker, onChange) {
    const menu = $(`filter-${name}`);
    menu.selectedIndex = this.#chosen[name];
    picker.open([], (label) => {
      this.#choose(name, label);
      onChange();
    });
  }

  #choose(name, label) {
    this.#chosen[name] = Math.max(0, this.#names[name].indexOf(label));
    $(`filter-${name}`).selectedIndex = this.#chosen[name];
  }

  #read(values) {
    for (const name of LABELS) this.#choose(name, values.get(name));
    for (const name of ["status", "sort"]) {
      const select = $(`filter-${name}`);
      select.value = values.get(name) ?? DEFAULTS[name];
      if (select.selectedIndex < 0) select.value = DEFAULTS[name];
    }
    $("filter-text").value = values.get("text") ?? "";
  }
}

/** Fills a menu of labels; returns the label of each option, null for any label. */
function fill(select, counts) {
  const options = counts.map(([name, n]) => new Option(`${labelText(name)} · ${count(n)}`));
  const find = counts.length > MANY ? [new Option(FIND)] : [];
  select.replaceChildren(new Option("Any label"), ...find, ...options);
  return [null, ...find.map(() => FIND), ...counts.map(([name]) => name)];
}
