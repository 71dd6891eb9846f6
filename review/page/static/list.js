// The list beside the record. Only visible entries are elements, so that 100,000 of them scroll like ten.

import { fixed, labelName, make, percent } from "./dom.js";
import { marked } from "./search.js";

const HEIGHT = 68; // of an entry in pixels, as in page.css
const MARGIN = 6; // entries drawn above and below the visible ones
export const VERDICTS = { relabel: "Relabelled", keep: "Kept", unsure: "Unsure", discard: "Discarded" };
const SIGNS = { relabel: "↻", keep: "✓", unsure: "?", discard: "✕" };

export class List {
  #box;
  #queue;
  #space = make("div", { class: "space", role: "presentation" });
  #search = "";

  /** onChoose(place, clicked): called with the place in the queue of an entry that was clicked or moved to. */
  constructor(box, queue, onChoose) {
    this.#box = box;
    this.#queue = queue;
    box.append(this.#space);
    box.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(box);
    box.addEventListener("click", (event) => {
      const entry = event.target.closest("[data-place]");
      if (entry) onChoose(Number(entry.dataset.place), true);
    });
    box.addEventListener("keydown", (event) => {
      const page = Math.max(1, Math.floor(box.clientHeight / HEIGHT) - 1);
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
      if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const last = queue.ranks.length - 1;
      onChoose(Math.max(0, Math.min(last, queue.index + steps[event.key])), false);
    });
  }

  /** Shows a new query's entries. search: what to mark in them. */
  begin(search) {
    this.#search = search;
    this.#space.style.height = `${this.#queue.ranks.length * HEIGHT}px`;
    this.reveal();
  }

  /** Scrolls just far enough to show the current entry and its neighbours, and draws. */
  reveal() {
    const box = this.#box;
    const top = (this.#queue.index - 1) * HEIGHT;
    const bottom = (this.#queue.index + 2) * HEIGHT;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight;
    this.draw();
  }

  /** Draws the visible entries, and again once the server has sent the missing ones. */
  draw() {
    const { ranks, index } = this.#queue;
    const box = this.#box;
    const from = Math.max(0, Math.floor(box.scrollTop / HEIGHT) - MARGIN);
    const to = Math.min(ranks.length, Math.ceil((box.scrollTop + box.clientHeight) / HEIGHT) + MARGIN);
    const entries = [];
    for (let place = from; place < to; place++) entries.push(this.#entry(place, ranks, index));
    this.#space.replaceChildren(...entries);
    if (index >= from && index < to) box.setAttribute("aria-activedescendant", `entry-${index}`);
    else box.removeAttribute("aria-activedescendant");
    this.#queue.loadItems(from, to).then((came) => came && this.draw(), () => {});
  }

  #entry(place, ranks, index) {
    const item = this.#queue.item(ranks[place]);
    const verdict = item?.decision?.verdict;
    const entry = make("div", {
      id: `entry-${place}`,
      class: "entry",
      role: "option",
      "aria-selected": String(place === index),
      "aria-setsize": ranks.length,
      "aria-posinset": place + 1,
      "data-place": place,
      "data-verdict": verdict ?? null,
    });
    entry.style.top = `${place * HEIGHT}px`;
    if (!item) return entry;
    entry.append(
      make(
        "div",
        { class: "entry-head" },
        make("span", { class: "rank", title: "rank" }, String(item.rank)),
        make("span", { class: "pair" }, ...doubted(item)),
        verdict
          ? make("span", { class: "sign", title: VERDICTS[verdict] }, SIGNS[verdict], make("span", { class: "unseen" }, VERDICTS[verdict]))
          : make("span", { class: "loss", title: "loss" }, fixed(item.loss)),
      ),
      make("div", { class: "snippet" }, ...item.snippets.map((snippet) => this.#snippet(snippet))),
    );
    return entry;
  }

  #snippet(text) {
    return make("span", { dir: "auto" }, ...marked(text || "(empty text)", this.#search));
  }
}

/** What is doubted: the given label, which may be another, or one label of a set. */
function doubted({ label, prediction, doubt }) {
  const said = (text) => make("span", { class: "arrow" }, text);
  if (!doubt) return [labelName(label), said(" → "), labelName(prediction)];
  return [labelName(doubt.worst), said(` ${doubt.is_given ? "given" : "missing"}, ${percent(doubt.probability)}`)];
}
