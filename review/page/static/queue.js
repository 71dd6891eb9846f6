// The records of one query, in order, and the one that is shown. Keeps the server's answers, and fetches ahead.

import { get, viewer } from "./api.js";

const AHEAD = 8; // records after the current one that are fetched early
const CHUNK = 100; // list entries that are fetched at once
const MOST_KEPT = 200; // records kept; a text may be a megabyte

/** The decision about a record that counts for the person who looks; undefined without one. */
export const counting = ({ history }) =>
  history.findLast(({ annotator }) => viewer.whose === "anyone" || annotator === viewer.annotator);

export class Queue {
  ranks = [];
  index = 0;
  #records = new Map(); // rank → record, with the version of the decisions that it shows
  #items = new Map(); // rank → list entry, likewise
  #asked = new Map(); // rank → promise of its record
  #fresh = new Set(); // ranks of up-to-date entries
  #viewers = 0; // how often somebody else began to look

  /** The rank of the record that is shown, or undefined if the query finds nothing. */
  get rank() {
    return this.ranks[this.index];
  }

  /** The current record, undefined until it is loaded. */
  get record() {
    return this.#records.get(this.rank);
  }

  item(rank) {
    return this.#items.get(rank);
  }

  /** Starts with the ranks of a new query. */
  begin(ranks, index) {
    this.ranks = ranks;
    this.index = Math.max(0, Math.min(index, ranks.length - 1));
  }

  /** Has everything fetched again when it is next needed; until then, entries are shown as they were. */
  forget() {
    this.#records.clear();
    this.#asked.clear();
    this.#fresh.clear();
  }

  /** Forgets what another person was shown, and what is still on its way to them. */
  restart() {
    this.#viewers++;
    this.#items.clear();
    this.forget();
  }

  /** Stores a record as of a version, unless a later one is known. */
  learn(record, version) {
    const known = this.#records.get(record.rank);
    if (known && known.version > version) return;
    this.#records.delete(record.rank); // the oldest comes first
    this.#records.set(record.rank, { ...record, version });
    const item = this.#items.get(record.rank);
    if (item) this.#learnItem({ ...item, decision: counting(record) ?? null }, version);
    for (const rank of this.#records.keys()) {
      if (this.#records.size <= MOST_KEPT) break;
      if (rank !== this.rank) this.#records.delete(rank);
    }
  }

  #learnItem(item, version) {
    const known = this.#items.get(item.rank);
    if (!known || known.version <= version) this.#items.set(item.rank, { ...item, version });
  }

  /** Loads the current record, and fetches its neighbours. */
  async load() {
    const { rank } = this;
    if (rank !== undefined) await this.#fetch([rank]);
    const near = this.ranks.slice(Math.max(0, this.index - 1), this.index + 1 + AHEAD);
    this.#fetch(near).catch(() => {}); // each is requested again once it is current
  }

  async #fetch(ranks) {
    const missing = ranks.filter((rank) => !this.#records.has(rank) && !this.#asked.has(rank));
    if (missing.length) {
      const viewers = this.#viewers;
      const asked = get("records", { ranks: missing.join() }).then(({ records, version }) => {
        if (viewers !== this.#viewers) return;
        for (const record of records) this.learn(record, version);
      });
      for (const rank of missing) this.#asked.set(rank, asked);
      const done = () => missing.forEach((rank) => this.#asked.get(rank) === asked && this.#asked.delete(rank));
      asked.then(done, done);
    }
    await Promise.all(ranks.map((rank) => this.#asked.get(rank)));
  }

  /** Loads the list entries from one place to another; true if any is new. */
  async loadItems(from, to) {
    const start = Math.floor(from / CHUNK) * CHUNK;
    const wanted = this.ranks.slice(start, Math.ceil(to / CHUNK) * CHUNK).filter((rank) => !this.#fresh.has(rank));
    for (const rank of wanted) this.#fresh.add(rank);
    const parts = [];
    for (let at = 0; at < wanted.length; at += CHUNK) parts.push(this.#fetchItems(wanted.slice(at, at + CHUNK)));
    await Promise.all(parts);
    return wanted.length > 0;
  }

  async #fetchItems(ranks) {
    const viewers = this.#viewers;
    try {
      const { items, version } = await get("items", { ranks: ranks.join() });
      if (viewers === this.#viewers) for (const item of items) this.#learnItem(item, version);
    } catch (error) {
      for (const rank of ranks) this.#fresh.delete(rank);
      throw error;
    }
  }
}
