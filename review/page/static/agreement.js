// The dialog that tells how far people agree about the records that several of them decided.

import { get } from "./api.js";
import { $, labelName, make, percent, records } from "./dom.js";

const MOST_PAIRS = 30;

export async function openAgreement() {
  const { agreement } = await get("agreement");
  if (!agreement) return;
  const { people, rows, share, kappa, alpha, pairs } = agreement;
  const names = people.flatMap((name, place) => [...(place ? [", "] : []), make("bdi", {}, name)]);
  $("agreement-people").replaceChildren(`${records(rows)} decided by two or more of `, ...names);
  const figures = [["Agreement", told(share, percent)], ["Cohen’s κ", told(kappa, decimal)], ["Krippendorff’s α", told(alpha, decimal)]];
  $("agreement-figures").replaceChildren(
    ...figures.filter(([, figure]) => figure).map(([name, figure]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, figure))),
  );
  $("agreement-pairs").replaceChildren(
    ...pairs.slice(0, MOST_PAIRS).map((pair) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, labelName(pair.given), " → ", labelName(pair.predicted)),
        make("td", {}, String(pair.rows)),
        make("td", {}, told(pair.share, percent)),
      ),
    ),
  );
  $("agreement").showModal();
}

const decimal = (value) => value.toFixed(2);

/** A figure with its interval; null without one. */
function told(measure, as) {
  if (!measure) return null;
  return measure.low === null ? as(measure.value) : `${as(measure.value)} (${as(measure.low)} to ${as(measure.high)})`;
}
