// A record's text, or both of a pair under their columns' names.

import { $, count, make } from "./dom.js";
import { firstFound, marked } from "./search.js";

const SHOWN = 20_000; // characters of a text that are shown at first
const LONG = 600;

/** names: the names of the texts' columns; search: what to mark. */
export function showTexts({ text, text_pair: pair }, names, search) {
  const isLong = text.length + (pair?.length ?? 0) > LONG;
  showText("text", text, pair === null ? null : names[0], isLong, search);
  showText("pair", pair, names[1], isLong, search);
  for (const scrolled of [$("record"), document.querySelector("main")]) scrolled.scrollTop = 0;
  $("record").querySelector(".text mark")?.scrollIntoView({ block: "nearest" });
}

export function hideTexts() {
  for (const id of ["text", "pair"]) {
    $(id).replaceChildren();
    for (const part of [id, `${id}-name`, `${id}-more`]) $(part).hidden = true;
  }
}

function showText(id, text, name, isLong, search) {
  const box = $(id);
  const more = $(`${id}-more`);
  box.hidden = text === null;
  $(`${id}-name`).hidden = text === null || name === null;
  more.hidden = true;
  if (text === null) return;
  if (name !== null) {
    $(`${id}-name`).replaceChildren(make("bdi", {}, name));
    box.setAttribute("aria-label", name);
  }
  // Never cut between the halves of one character.
  const isCut = text.length > SHOWN && firstFound(text, search) < SHOWN;
  const beginning = isCut ? text.slice(0, SHOWN).replace(/[\uD800-\uDBFF]$/u, "") : text;
  more.hidden = !isCut;
  box.classList.toggle("long", isLong);
  box.replaceChildren(...(text ? marked(beginning, search) : [make("span", { class: "faint" }, "(empty text)")]));
  more.textContent = `Show all ${count(text.length)} characters`;
  more.onclick = () => {
    box.replaceChildren(...marked(text, search));
    more.hidden = true;
    box.focus();
  };
}
