// The note and the tags that go with a decision, and the dialog in which they are typed.

import { viewer } from "./api.js";
import { $, make } from "./dom.js";

export class Remarks {
  #typed = new Map(); // row → remark that is stored with the next decision
  #tags;

  /** tags: those that people have used so far. */
  constructor(tags) {
    this.#tags = new Set(tags);
  }

  /** What goes with the next decision about a record: what was typed, else what the person's last decision has. */
  of(record) {
    const { note, tags } = this.#typed.get(record.row) ?? ownLast(record) ?? { note: "", tags: [] };
    return { note, tags };
  }

  /** Call it when a record's remark is stored. */
  done({ row }) {
    this.#typed.delete(row);
  }

  /** Shows what will go with the decision about a record. */
  show(record) {
    const typed = this.#typed.get(record.row);
    $("remark").hidden = !typed;
    if (typed) $("remark").replaceChildren("With your decision: ", ...remarkParts(typed));
  }

  /** Asks for a record's remark. onTyped: called once it is known. */
  open(record, onTyped) {
    const dialog = $("note-dialog");
    const { note, tags } = this.of(record);
    $("note").value = note;
    $("new-tags").value = "";
    $("tags").hidden = !this.#tags.size;
    $("tag-choices").replaceChildren(...[...this.#tags].map((tag) => choice(tag, tags.includes(tag))));
    dialog.onclose = () => {
      if (dialog.returnValue !== "ok") return;
      const chosen = [...$("tag-choices").querySelectorAll("input:checked")].map((box) => box.value);
      const typed = $("new-tags").value.split(",").map((tag) => tag.trim()).filter(Boolean);
      for (const tag of typed) this.#tags.add(tag);
      this.#typed.set(record.row, { note: $("note").value.trim(), tags: [...new Set([...chosen, ...typed])] });
      onTyped();
    };
    $("note-cancel").onclick = () => dialog.close("");
    $("note").onkeydown = (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) dialog.close("ok");
    };
    dialog.returnValue = "";
    dialog.showModal();
    $("note").focus();
  }
}

/** A person's own last decision about a record. */
export const ownLast = ({ history }) => history.findLast(({ annotator }) => annotator === viewer.annotator);

/** The tags and the note as elements. */
export function remarkParts({ note, tags }) {
  const shown = tags.map((tag) => make("span", { class: "tag own", dir: "auto" }, tag));
  return [...shown, ...(note ? [make("span", { class: "remark", dir: "auto" }, note)] : [])];
}

function choice(tag, isChosen) {
  const box = make("input", { type: "checkbox", value: tag, checked: isChosen });
  return make("label", { class: "choice" }, box, make("bdi", {}, tag));
}
