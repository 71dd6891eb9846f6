// The pace of the person at this tab: decisions per minute, and the time that the rest will take.

import { $, count } from "./dom.js";

const MOST = 30; // decisions that the pace is taken from
const FEWEST = 5;
const PAUSE_MS = 120_000; // a longer one isn't work

const taken = []; // milliseconds that each of the latest decisions took
let last = null; // time of the last decision

/** Notes a decision that was made now. */
export function noteDecision() {
  const now = Date.now();
  if (last !== null && now - last < PAUSE_MS) taken.push(now - last);
  if (taken.length > MOST) taken.shift();
  last = now;
}

/** Shows the pace, once it is known. left: undecided records. */
export function showPace(left) {
  const told = pace(left);
  $("counts").title = told;
  $("pace").textContent = told || `Your pace is shown here after ${FEWEST + 1} decisions.`;
}

function pace(left) {
  if (taken.length < FEWEST) return "";
  const mean = taken.reduce((sum, time) => sum + time, 0) / taken.length;
  const perMinute = 60_000 / Math.max(mean, 1);
  const speed = `${perMinute < 10 ? perMinute.toFixed(1) : count(Math.round(perMinute))} decisions per minute`;
  return left ? `${speed}; at this pace, the ${count(left)} left take ${duration((left * mean) / 60_000)}` : speed;
}

function duration(minutes) {
  if (minutes < 1.5) return "a minute";
  if (minutes < 90) return `${Math.round(minutes)} minutes`;
  return `${(minutes / 60).toFixed(1)} hours`;
}
