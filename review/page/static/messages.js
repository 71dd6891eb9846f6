// What the page says: in the line above the buttons, and in the bar below the header.

import { $ } from "./dom.js";

/** isWarning: whether it is about another person's decision. */
export function say(message, isWarning = false) {
  $("said").textContent = message;
  $("said").classList.toggle("warn", isWarning);
}

export function fail(message) {
  $("failure").textContent = message;
  $("failure").hidden = false;
}

export function recover() {
  $("failure").hidden = true;
}
