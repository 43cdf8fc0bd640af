// Numbers for people, in the words that the command line uses (shuffle_protocol/units.py), and text that is safe to show.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** 512 B, 1.5 MiB. */
export function bytes(size) {
  if (!known(size)) return "–";
  let at = 0;
  while (Math.abs(size) >= 1024 && at < UNITS.length - 1) {
    size /= 1024;
    at += 1;
  }
  return at === 0 ? `${size.toFixed(0)} B` : `${size.toFixed(1)} ${UNITS[at]}`;
}

/** 1,200,000. */
export function count(number) {
  return known(number) ? grouped.format(number) : "–";
}

/** 1 file, 1,200 files; 1 loss, 2 losses. */
export function counted(number, thing, things = `${thing}s`) {
  return `${count(number)} ${number === 1 ? thing : things}`;
}

/** 40 µs, 1.2 ms, 45 s, 5 min, 2.5 h. */
export function duration(seconds) {
  if (!known(seconds)) return "–";
  if (seconds === 0) return "0 s";
  for (const [unit, size] of [["µs", 1e-6], ["ms", 1e-3]]) {
    if (seconds < 1000 * size * 0.9995) return `${Number((seconds / size).toPrecision(3))} ${unit}`;
  }
  if (seconds < 90) return seconds >= 10 ? `${seconds.toFixed(0)} s` : `${Number(seconds.toPrecision(2))} s`;
  return seconds < 5400 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** A place on a time axis: 0:45, 12:03, 1:02:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A moment of a job whose columns are `width` seconds: 0.25 s, 12:03. */
export function moment(seconds, width) {
  return width < 1 ? `${seconds.toFixed(width < 0.1 ? 3 : 2)} s` : clock(seconds);
}

/** A place on an axis whose ticks are `step` seconds apart. */
export function tick(seconds, step) {
  if (step >= 1) return clock(seconds);
  return `${seconds.toFixed(step >= 0.1 ? 1 : step >= 0.01 ? 2 : 3)} s`;
}

/** 42 %. */
export function percent(share) {
  if (!known(share)) return "–";
  const value = share * 100;
  return `${value > 0 && value < 0.95 ? value.toFixed(1) : value.toFixed(0)} %`;
}

/** 12.5 MiB/s. */
export function rate(bytesPerSecond) {
  return known(bytesPerSecond) ? `${bytes(bytesPerSecond)}/s` : "–";
}

/** Whether a figure is known: -1 and null mean that it is not. */
export function known(number) {
  return typeof number === "number" && Number.isFinite(number) && number >= 0;
}

// Control characters, and those that turn the direction of the text around them or cannot be seen at all.
const OBEYED = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** Text from data, with what a browser would obey made visible; at most `most` characters of it. */
export function clean(value, most = 500) {
  const text = String(value ?? "").replace(OBEYED, "\ufffd");
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
