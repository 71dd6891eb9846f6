// The page: connects the list, the record, the filters and the keys with the server.

import { openAgreement } from "./agreement.js";
import { get, post, viewer } from "./api.js";
import { Choice } from "./choice.js";
import { askBulk, askName, keptName, openGuidelines, openHelp, singleKeys } from "./dialogs.js";
import { $, count, labelText, records } from "./dom.js";
import { showEnding } from "./ending.js";
import { Filters } from "./filters.js";
import { listen } from "./keys.js";
import { List, VERDICTS } from "./list.js";
import { fail, recover, say } from "./messages.js";
import { noteDecision } from "./pace.js";
import { Picker } from "./picker.js";
import { showProgress } from "./progress.js";
import { counting, Queue } from "./queue.js";
import { sentence, showChoice, showDecision, showNothing, showRecord, spokenLabels } from "./record.js";
import { ownLast, Remarks } from "./remarks.js";
import { showTexts } from "./text.js";

const POLL_MS = 1500;
const AHEAD = 200; // records among which the server looks for the next undecided one
const ORDERS = { learned: "Most likely wrong", sample: "Random order" }; // of records that aren't those of highest loss
const SLOW_MS = 150; // longer storing is shown on the page

const queue = new Queue();
let start; // the server's answer at the start
let filters;
let list;
let picker;
let remarks;
let choice = null; // of a multi-label record
let annotator = null;
let drawn = null; // rank of the record on the page
let seen = null; // time of the decision that was shown with the record when it came
let version = 0; // of the decisions that the page shows
let view = { decided: 0 };
let busy = false; // while a change is stored; keys pressed meanwhile would decide a record that nobody has seen
let searches = 0;
let learnedFrom = 0; // decisions that the order of the list was learned from

try {
  start = await get("start");
  begin();
} catch (error) {
  fail(error.message);
}

function begin() {
  list = new List($("list"), queue, (place, clicked) => {
    if (clicked) showList(false);
    go(place);
  });
  picker = new Picker([...start.labels, ...start.new_labels]);
  remarks = new Remarks(start.tags);
  $("guidelines-open").hidden = start.guidelines === null;
  filters = new Filters(start, picker, () => search(), lookAnew);
  $("file").title = start.losses;
  $("store").textContent = start.store;
  beginSets(start.multi_label);
  if (start.order in ORDERS) $("sort-loss").textContent = ORDERS[start.order];
  listen(act, start.multi_label, singleKeys);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.action) act(button.dataset.action);
    else if (button.dataset.label !== undefined) take(button.dataset.label);
    // A clicked button would receive the next Enter; a button reached by keyboard keeps the focus.
    if (event.detail > 0 && !button.closest("dialog")) button.blur();
  });
  $("help-open").addEventListener("click", openHelp);
  $("agreement-open").addEventListener("click", () => openAgreement().catch((error) => fail(error.message)));
  $("list-toggle").addEventListener("click", () => showList(!document.body.classList.contains("with-list")));
  $("who").addEventListener("click", askWho);
  setName(keptName(start.annotator));
  if (annotator === null) askWho();
  $("adjudicating").hidden = !start.adjudicating;
  search({ rank: Filters.rank() });
  setInterval(() => document.hidden || poll(), POLL_MS);
  document.addEventListener("visibilitychange", () => document.hidden || poll());
  window.addEventListener("focus", poll);
}

/** Sets up the page for records with sets of labels, or with one label each. */
function beginSets(multiLabel) {
  for (const part of document.querySelectorAll("[data-for]")) part.hidden = (part.dataset.for === "sets") !== multiLabel;
  if (!multiLabel) return;
  choice = new Choice(start.labels);
  document.body.classList.add("sets");
  $("accept").dataset.action = "confirm";
  $("sort-pair").textContent = "Most frequent doubt";
  say("Digits tick labels, Enter confirms, K keeps the given ones; ? shows all keys");
}

// What keys and buttons do.

function act(action, key) {
  if (action === "help") return openHelp();
  if (action === "guidelines") return start.guidelines === null ? say("There are no guidelines") : openGuidelines(start.guidelines);
  if (action === "search") return focusSearch();
  if (action === "undo") return change(undo);
  if (action === "next") return go(queue.index + 1);
  if (action === "back") return go(queue.index - 1);
  if (action === "bulk") return bulk();
  const { record } = queue;
  if (!record) return drawn === queue.rank ? retry(action, key) : undefined; // nobody has seen it yet
  if (action === "accept") return choose(choice ? record.doubt.predicted : record.prediction);
  if (action === "confirm") return choose(choice.labels);
  if (action === "class") return take($("classes").querySelectorAll("button")[(Number(key) + 9) % 10]?.dataset.label);
  if (action === "note") return remarks.open(record, () => remark(record));
  if (action === "find") {
    const add = (label) => change(() => decide(record, "relabel", label, { isNew: true }));
    return picker.open(record.classes.map(([name]) => name), take, choice ? null : add);
  }
  return change(() => decide(record, action, null));
}

/** Acts on the record that is on the page once its decisions are fetched again. */
async function retry(action, key) {
  const { rank } = queue;
  // Others may decide meanwhile, so that it is fetched once more.
  for (let tries = 0; tries < 3 && !queue.record; tries++) await queue.load().catch(() => {});
  if (rank === queue.rank && queue.record) act(action, key);
}

/** Gives the record a label, or ticks the label where records have several. */
function take(label) {
  const { record } = queue;
  if (!record || label === undefined || busy) return;
  if (!choice) return choose(label);
  const byKeyboard = $("classes").querySelector(":focus-visible");
  choice.toggle(label);
  showChoice(record, choice);
  say(`${labelText(label)}: ${choice.has(label) ? "ticked" : "not ticked"}; Enter confirms`);
  // The labels were redrawn.
  if (byKeyboard) [...$("classes").querySelectorAll("button")].find((one) => one.dataset.label === label).focus();
  return undefined;
}

/** Stores a remark with the person's decision about a record, or keeps it until there is one. */
function remark(record) {
  const own = ownLast(record);
  if (own) return void change(() => decide(record, own.verdict, own.label, { stay: true }));
  remarks.show(record);
  return say("The note and tags are stored with your decision");
}

/** Gives the record a label or a set of labels; choosing what is given keeps it. */
function choose(label) {
  const { record } = queue;
  if (!choice && label === record.label) change(() => decide(record, "keep", null));
  else change(() => decide(record, "relabel", label)); // the server recognises the given set
}

/** Makes one change at a time; a failure is shown and changes nothing else on the page. */
async function change(work) {
  if (busy) return;
  if (annotator === null) return void askWho();
  busy = true;
  const slow = setTimeout(() => document.body.classList.add("storing"), SLOW_MS);
  try {
    await work();
  } catch (error) {
    fail(`${error.status === 0 ? "May not be stored" : "Not stored"}. ${error.message}`);
  } finally {
    busy = false;
    clearTimeout(slow);
    document.body.classList.remove("storing");
  }
}

/** stay: whether the record stays on the page; isNew: whether the model may lack the label. */
async function decide(record, verdict, label, { stay = false, isNew = false } = {}) {
  const wasOpen = !counting(record);
  const ranks = wasOpen ? queue.ranks.slice(queue.index + 1, queue.index + 1 + AHEAD).join() : "";
  let answer;
  try {
    answer = await post("decide", { row: record.row, verdict, label, seen, ranks, new: isNew, ...remarks.of(record) });
  } catch (error) {
    if (!error.told?.record) throw error;
    return conflict(error.told);
  }
  recover();
  choice?.done();
  remarks.done(record);
  if (wasOpen) noteDecision();
  if (isNew) picker.add(label);
  queue.learn(answer.record, answer.version);
  note(answer);
  const decided = counting(answer.record);
  const as = decided.label === null ? "" : ` as ${labelText(decided.label)}`;
  say(`Record ${count(queue.index + 1)}: ${VERDICTS[decided.verdict].toLowerCase()}${as}`);
  if (stay) return show();
  const next = wasOpen ? queue.ranks.indexOf(answer.next ?? -1) : queue.index + 1;
  if (next > 0 && next < queue.ranks.length) return go(next);
  return further();
}

/** Shows what somebody else has decided since the record came; the same key then decides all the same. */
function conflict(told) {
  recover();
  queue.learn(told.record, told.version);
  catchUp(told.version);
  showProgress(told.progress);
  queue.learn(told.record, told.version);
  showDecision(told.record, choice);
  const latest = told.record.history.at(-1);
  seen = latest.made_at;
  say(`${sentence(latest)}; press the key again to decide otherwise`, true);
}

async function undo() {
  const { undone, first, ...answer } = await post("undo", {});
  recover();
  if (!undone) return say(`${annotator} has nothing to undo`);
  queue.forget();
  note(answer);
  const place = queue.ranks.indexOf(first.rank);
  const from = first.origin === "page" ? "" : ` from ${first.origin}`;
  const what = undone === 1 ? `the decision on row ${first.row}` : `${count(undone)} decisions${from}`;
  say(`Took back ${what}${place < 0 ? ", which isn't in this list" : ""}`);
  if (place >= 0) go(place);
  else show();
  return undefined;
}

async function bulk() {
  if (annotator === null) return askWho();
  if (!(await search({ stay: true })) || !queue.ranks.length) return undefined; // confirm the records that are there now
  const { query } = filters;
  const expected = queue.ranks.length;
  return askBulk(expected, view.decided, filters.isNarrow, start.labels, (verdict, label) =>
    change(async () => {
      const answer = await post("decide-all", { query, verdict, label, expected });
      recover();
      queue.forget();
      note(answer);
      await search({ stay: true });
      say(`Decided ${records(answer.decided)}; one undo takes all of it back`);
    }),
  );
}

/** Where no undecided record follows in the list: the next one of a fresh list, the first one of it, or the end. */
async function further() {
  const { rank } = queue;
  if (!(await search({ after: rank }))) return;
  if (view.first_undecided === null) {
    if (!queue.ranks.length) return;
    if (filters.isNarrow) return void say("All records in this list are decided");
    say(`All ${records(queue.ranks.length)} are decided. Next, in a terminal: lossaudit apply`);
    showEnding(queue.ranks.length, start.losses);
  } else if (queue.index <= Math.max(0, queue.ranks.indexOf(rank))) say("End of the list: back to the first undecided record");
}

/** Takes over an order that was learned meanwhile. The record on the screen stays, as the first undecided one. */
async function reorder(order) {
  if (!order || order.lessons === learnedFrom || "sort" in filters.query) return;
  const mine = ++searches;
  const { rank } = queue;
  const answer = await get("view", filters.query);
  if (mine !== searches || busy || rank !== queue.rank) return; // the next poll tries again
  learnedFrom = order.lessons;
  const place = answer.ranks.indexOf(rank);
  const first = answer.first_undecided ?? answer.ranks.length;
  const ranks = answer.ranks.filter((one) => one !== rank);
  if (place < 0 && !filters.isNarrow) ranks.pop(); // the server does so once the record is decided
  const at = place >= 0 && place < first ? place : Math.min(first, ranks.length);
  if (rank !== undefined) ranks.splice(at, 0, rank);
  view = { ...answer, ranks };
  queue.begin(ranks, at);
  $("sort-loss").textContent = ORDERS.learned;
  $("found").textContent = records(ranks.length);
  list.begin(filters.search);
  if (queue.record) $("title").replaceChildren(`Record ${count(at + 1)} of ${count(ranks.length)}`);
}

// What is shown.

/** Runs the query and shows the record of that rank, or with `stay` the one that is shown, or else the first undecided
 * one, of those `after` a rank first. True if it was shown. */
async function search({ rank = null, after = null, stay = false } = {}) {
  const mine = ++searches;
  let answer;
  try {
    answer = await get("view", after === null ? filters.query : { ...filters.query, after });
  } catch (error) {
    fail(error.message);
    return false;
  }
  if (mine !== searches) return false; // another search has started since
  recover();
  view = answer;
  if (view.version > version) {
    version = view.version;
    queue.forget();
  }
  const place = view.ranks.indexOf((stay ? queue.rank : rank) ?? -1);
  queue.begin(view.ranks, place >= 0 ? place : (view.first_undecided ?? 0));
  $("found").textContent = records(view.ranks.length);
  $("clear").hidden = !filters.isNarrow;
  $("bulk-open").disabled = !view.ranks.length;
  list.begin(filters.search);
  showProgress(view.progress);
  await show();
  return true;
}

function go(place) {
  if (place < 0 || place >= queue.ranks.length) return say(place < 0 ? "This is the first record" : "This is the last record");
  queue.index = place;
  list.reveal();
  return show();
}

/** Shows the current record, at once if it is loaded. */
async function show() {
  const { rank } = queue;
  filters.remember(rank);
  if (rank === undefined) return showNothing("No record matches these filters.");
  if (queue.record) draw();
  const had = queue.record;
  try {
    await queue.load();
  } catch (error) {
    return fail(error.message);
  }
  if (!had && rank === queue.rank && queue.record) draw();
  return undefined;
}

function draw() {
  const { record } = queue;
  drawn = queue.rank;
  seen = record.history.at(-1)?.made_at ?? null;
  if (choice?.begin(record)) say("The changes to the previous record weren't confirmed and are discarded");
  showTexts(record, start.text_columns, filters.search);
  showRecord(record, queue.index, queue.ranks.length, choice);
  remarks.show(record);
  $("find").hidden = choice !== null && record.classes.length >= start.labels.length;
  const texts = [record.text, record.text_pair ?? ""].map((text) => text.slice(0, 500)).join(" ");
  $("spoken").textContent = `Record ${queue.index + 1} of ${queue.ranks.length}. ${spokenLabels(record)} ${texts}`;
}

// What other tabs and people do.

/** Takes over the progress and the version after one of our own changes. */
function note(answer) {
  showProgress(answer.progress);
  if (answer.version === version + 1) version = answer.version;
  else catchUp(answer.version);
}

/** Fetches again what others have changed since the version that the page shows. */
function catchUp(latest) {
  if (latest <= version) return false;
  version = latest;
  queue.forget();
  list.draw();
  return true;
}

async function poll() {
  if (busy) return;
  try {
    const answer = await get("version");
    recover();
    if (busy) return;
    showProgress(answer.progress);
    await reorder(answer.progress.order);
    if (busy || !catchUp(answer.version)) return;
    const { rank } = queue;
    await queue.load();
    if (rank !== queue.rank || !queue.record) return;
    if (choice && !choice.isChanged) {
      choice.begin(queue.record);
      showChoice(queue.record, choice);
    }
    showDecision(queue.record, choice);
    const latest = queue.record.history.at(-1);
    if (latest && latest.annotator !== annotator && latest.made_at !== seen) say(sentence(latest), true);
  } catch (error) {
    fail(error.message);
  }
}

// The name, and what is shown of the list.

function setName(name) {
  annotator = name;
  viewer.annotator = name ?? "";
  $("who").textContent = name ?? "Name…";
  $("who").setAttribute("aria-label", name === null ? "Enter who is reviewing" : `Reviewing as ${name}; change`);
}

function askWho() {
  askName(annotator, start.annotators, (name) => {
    setName(name);
    lookAnew();
  });
}

/** Shows what another person, or with other decisions, may see. */
function lookAnew() {
  queue.restart();
  search({ stay: true });
}

function focusSearch() {
  showList(true);
  $("filter-text").focus();
  $("filter-text").select();
}

/** Shows or hides the list where the page is too narrow for both. */
function showList(shown) {
  document.body.classList.toggle("with-list", shown);
  $("list-toggle").setAttribute("aria-expanded", String(shown));
  if (shown) list.reveal();
}
