// Light or dark: the system's choice, until somebody makes another. Plots ask here for their colours.

import { el } from "./dom.js";

const KEY = "shuffle-theme";
const NEXT = { system: "light", light: "dark", dark: "system" };
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();
let colours = new Map();

export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Call after every change of the theme. */
export function onTheme(listener) {
  listeners.add(listener);
}

/** The colour of a name, as page.css has it now: `colour("read")` is `--read`. */
export function colour(name) {
  let found = colours.get(name);
  if (found === undefined) {
    found = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    colours.set(name, found);
  }
  return found;
}

/**
 * 33 shades as [red, green, blue, alpha], from nothing (`--heat-0`) to all (`--heat-1`); the last one, for what is full, is
 * `--over` where `alarm` says so.
 */
export function ramp(alarm = true) {
  const key = `ramp ${alarm}`;
  let found = colours.get(key);
  if (found === undefined) {
    const [low, high] = [components("heat-0"), components("heat-1")];
    found = Array.from({ length: 33 }, (_, n) => low.map((from, at) => Math.round(from + ((high[at] - from) * n) / 32)));
    if (alarm) found[32] = components("over");
    colours.set(key, found);
  }
  return found;
}

function components(name) {
  const brush = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  brush.fillStyle = colour(name);
  brush.fillRect(0, 0, 1, 1);
  return [...brush.getImageData(0, 0, 1, 1).data];
}

function kept() {
  try {
    const choice = localStorage.getItem(KEY);
    return choice in NEXT ? choice : "system";
  } catch {
    return "system"; // a file in a browser that keeps nothing for files
  }
}

function apply(choice) {
  const dark = choice === "dark" || (choice === "system" && system.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  colours = new Map();
  for (const listener of listeners) listener();
}

/** Applies the theme and returns the button that changes it. */
export function themeSwitch() {
  let choice = kept();
  const label = el("span");
  const button = el("button", { class: "quiet", type: "button", title: "Light, dark, or as the system has it" }, label, el("span", { class: "away" }, " theme"));
  const set = () => {
    label.textContent = { system: "◐ Auto", light: "○ Light", dark: "● Dark" }[choice];
    apply(choice);
  };
  button.addEventListener("click", () => {
    choice = NEXT[choice];
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // holds until the page is closed
    }
    set();
  });
  system.addEventListener("change", set);
  set();
  return button;
}
