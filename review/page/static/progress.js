// The header's progress and share of wrong labels so far.

import { $, count, make, percent } from "./dom.js";
import { VERDICTS } from "./list.js";
import { showPace } from "./pace.js";

export function showProgress({ total, counts, estimate, rows, order, joint }) {
  $("agreement-open").hidden = !joint; // nobody can agree yet
  const decided = Object.values(counts).reduce((sum, n) => sum + n, 0);
  const told = Object.entries(counts).map(([verdict, n]) => `${VERDICTS[verdict].toLowerCase()} ${count(n)}`);
  const parts = Object.entries(counts).filter(([, n]) => n).map(([verdict, n]) => {
    const part = make("span", { "data-verdict": verdict, title: `${VERDICTS[verdict]}: ${count(n)}` });
    part.style.width = `${(100 * n) / total}%`;
    return part;
  });
  const meter = $("meter");
  meter.replaceChildren(...parts);
  meter.setAttribute("aria-valuemax", total);
  meter.setAttribute("aria-valuenow", decided);
  meter.setAttribute("aria-valuetext", `${count(decided)} of ${count(total)}: ${told.join(", ")}`);
  $("counts").textContent = `${count(decided)} of ${count(total)} decided`;
  showPace(total - decided);
  showEstimate(estimate, rows);
  showOrder(order);
}

/** rows: how many the share is about, if it is of all and not of the reviewed ones. */
function showEstimate(estimate, rows) {
  const box = $("estimate");
  box.hidden = !estimate;
  if (!estimate) return;
  const low = Math.round(100 * estimate.low);
  box.replaceChildren("Wrong labels ", make("b", {}, percent(estimate.share)), ` (${low}–${percent(estimate.high)})`);
  box.title = rows
    ? `Of all ${count(rows)} labels, estimated from a random sample; 95 % interval`
    : `${count(estimate.wrong)} of ${count(estimate.judged)} relabelled or kept records; 95 % interval`;
}

/** order: what was learned during the review, or null. */
function showOrder(order) {
  const box = $("order");
  box.hidden = !order;
  if (!order) return;
  const told = `Order learned from ${count(order.lessons)} decisions; ${count(order.expected)} of the next ${count(order.following)} are expected to be wrong`;
  if (box.textContent !== told) box.textContent = told;
}
