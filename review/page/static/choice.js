// The labels that are ticked for a multi-label record: its decision's or else its prediction's, until they are changed.

export class Choice {
  #places; // label → place in the model's order
  #row; // of the record, null for none
  #chosen = new Set();
  isChanged = false; // by hand, and not yet confirmed

  constructor(labels) {
    this.#places = new Map(labels.map((label, place) => [label, place]));
  }

  /** Takes up a record; what is changed by hand stays while the record does. True if such a change is dropped. */
  begin(record) {
    if (this.isChanged && record.row === this.#row) return false;
    const dropped = this.isChanged;
    this.#row = record.row;
    this.#chosen = new Set(decided(record) ?? record.doubt.predicted);
    this.isChanged = false;
    return dropped;
  }

  /** To be called when the changes are stored. */
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

  /** Those that are ticked, in the model's order. */
  get labels() {
    return [...this.#chosen].sort((one, other) => this.#places.get(one) - this.#places.get(other));
  }

  is(labels) {
    return labels.length === this.#chosen.size && labels.every((label) => this.has(label));
  }
}

/** The labels that were decided on, null where there is no such decision. */
function decided({ history, doubt }) {
  const last = history.at(-1);
  return last?.verdict === "relabel" ? last.label : last?.verdict === "keep" ? doubt.given : null;
}
