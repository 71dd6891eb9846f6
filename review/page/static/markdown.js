// Shows a small part of Markdown: headings, lists, paragraphs, bold, italic and code. Everything else stays text.

import { make } from "./dom.js";

const HEADING = /^(#{1,6})\s+(.*)$/;
const ITEM = /^\s*(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/;
const SPAN = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|(?<!\w)_([^_\s][^_]*)_(?!\w)/g;
const FENCE = /^\s*```/;

/** The elements of a text. */
export function rendered(text) {
  const blocks = [];
  let open = null; // the paragraph, list item or code that the next line may continue
  for (const line of text.split(/\r?\n/)) {
    if (FENCE.test(line)) open = open?.code ? null : push(blocks, { code: [] });
    else if (open?.code) open.code.push(line);
    else if (!line.trim()) open = null;
    else if (HEADING.test(line)) {
      const [, marks, words] = HEADING.exec(line);
      push(blocks, { heading: marks.length, words: [words] });
      open = null;
    } else if (ITEM.test(line)) {
      const [, number, words] = ITEM.exec(line);
      open = push(blocks, { item: true, number, words: [words] });
    } else if (open) open.words.push(line.trim());
    else open = push(blocks, { words: [line.trim()] });
  }
  return elements(blocks);
}

function push(blocks, block) {
  blocks.push(block);
  return block;
}

function elements(blocks) {
  const made = [];
  let list = null;
  for (const { code, heading, item, number, words } of blocks) {
    if (!item) list = null;
    if (code) made.push(make("pre", {}, code.join("\n")));
    else if (heading) made.push(make(`h${Math.min(6, heading + 2)}`, { dir: "auto" }, ...spans(words.join(" "))));
    else if (!item) made.push(make("p", { dir: "auto" }, ...spans(words.join(" "))));
    else {
      const kind = number ? "ol" : "ul";
      if (list?.localName !== kind) {
        list = make(kind, { start: number ?? null });
        made.push(list);
      }
      list.append(make("li", { dir: "auto" }, ...spans(words.join(" "))));
    }
  }
  return made;
}

/** A line's text, with its bold, italic and code parts as elements. */
function spans(text) {
  const parts = [];
  let start = 0;
  for (const found of text.matchAll(SPAN)) {
    const [whole, code, bold, star, underscore] = found;
    parts.push(text.slice(start, found.index));
    if (code) parts.push(make("code", {}, code));
    else if (bold) parts.push(make("b", {}, ...spans(bold)));
    else parts.push(make("em", {}, ...spans(star ?? underscore)));
    start = found.index + whole.length;
  }
  parts.push(text.slice(start));
  return parts.filter((part) => part !== "");
}
