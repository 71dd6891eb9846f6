// Marks what a search has found, by the server's rules: words in any order, phrases in quotes, no case, no accents.

import { make } from "./dom.js";

const MOST_MARKS = 400;
const LIKE = { ß: "ss", ı: "i", ł: "l", ø: "o", đ: "d", æ: "ae", œ: "oe" };

/** A text without case and accents. */
export const folded = (text) => [...text].map(plain).join("");

/** The folded words and phrases of a query. */
export const termsOf = (query) => [...query.matchAll(/"([^"]+)"|(\S+)/g)].map(([, phrase, word]) => folded(phrase ?? word));

/** The text in pieces, of which those that the query finds are marked. */
export function marked(text, query) {
  const ranges = rangesOf(text, termsOf(query));
  if (!ranges.length) return [text];
  const pieces = [];
  let start = 0;
  for (const [from, to] of ranges) {
    pieces.push(text.slice(start, from), make("mark", {}, text.slice(from, to)));
    start = to;
  }
  pieces.push(text.slice(start));
  return pieces;
}

/** Where a text holds a word of the query first; -1 if nowhere. */
export const firstFound = (text, query) => rangesOf(text, termsOf(query))[0]?.[0] ?? -1;

const plain = (letter) => {
  const lower = letter.normalize("NFKD").replace(/\p{Mn}/gu, "").toLowerCase();
  return LIKE[lower] ?? lower;
};

/** The found ranges [from, to), in order, none within another. */
function rangesOf(text, terms) {
  if (!terms.length) return [];
  const places = []; // the place in the text of each folded character
  let searched = "";
  let at = 0;
  for (const letter of text) {
    const part = plain(letter);
    for (let n = 0; n < part.length; n++) places.push(at);
    searched += part;
    at += letter.length;
  }
  places.push(at);
  const ranges = [];
  for (const term of terms) {
    for (let from = searched.indexOf(term); term && from >= 0 && ranges.length < MOST_MARKS; from = searched.indexOf(term, from + term.length)) {
      ranges.push([places[from], places[from + term.length]]);
    }
  }
  ranges.sort((one, other) => one[0] - other[0] || other[1] - one[1]);
  return ranges.filter(([from, to], index) => to > from && !ranges.slice(0, index).some((earlier) => earlier[1] > from));
}
