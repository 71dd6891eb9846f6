// The ticked labels of a multi-label record: those of its decision, else of its prediction, until a person changes them.

export class Choice {
  #places; // label → place in the model's order
  #row; // of the record, null for none
  #chosen = new Set();
  isChanged = false; // by a person, and not yet confirmed

  constructor(labels) {
    this.#places = new Map(labels.map((label, place) => [label, place]));
  }

  /** Starts with a record; unconfirmed changes are kept while the record stays. True if such changes are discarded. */
  begin(record) {
    if (this.isChanged && record.row === this.#row) return false;
    const dropped = this.isChanged;
    this.#row = record.row;
    this.#chosen = new Set(decided(record) ?? record.doubt.predicted);
    this.isChanged = false;
    return dropped;
  }

  /** Call it when the changes are stored. */
  done() {
    this.isChanged = false;
  }

  toggle(label) {
    if (!this.#chosen.delete(label)) this.#chosen.add(label);
    this.isChanged = true;
  }

  has(label) {
    return this.#chosen.has(label);
  }

  /** The ticked labels, in the model's order. */
  get labels() {
    return [...this.#chosen].sort((one, other) => this.#places.get(one) - this.#places.get(other));
  }

  is(labels) {
    return labels.length === this.#chosen.size && labels.every((label) => this.has(label));
  }
}

/** The labels that were decided, null without such a decision. */
function decided({ history, doubt }) {
  const last = history.at(-1);
  return last?.verdict === "relabel" ? last.label : last?.verdict === "keep" ? doubt.given : null;
}
