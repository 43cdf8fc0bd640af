// What workers do, letter by letter (history/figures.py, `Doing`): its word, its colour, and how high it stands in a
// lane: working is whole, waiting half, idle a line. So it can be told without colours.

export const DOING = {
  r: { word: "Read", colour: "read", high: 1, field: "read", says: "reads input" },
  c: { word: "Compute", colour: "compute", high: 1, field: "compute", says: "computes" },
  w: { word: "Write", colour: "write", high: 1, field: "write", says: "writes output" },
  d: { word: "Spill", colour: "disk", high: 1, field: "disk", says: "writes to scratch or reads back" },
  s: { word: "Send", colour: "send", high: 0.5, field: "send", says: "waits until what it sent has arrived" },
  b: { word: "Back-pressure", colour: "blocked", high: 0.5, field: "blocked", says: "waits for receivers whose memory is full" },
  o: { word: "Store", colour: "store", high: 0.5, field: "store", says: "waits for an object store that does not answer" },
  p: { word: "Plan, commit", colour: "job", high: 1, field: "job", says: "plans or commits the job" },
  i: { word: "Idle", colour: "idle", high: 0.15, field: "idle", says: "has nothing to do" },
};

/** Of a letter as a timeline has it: what it is, and whether it is work that is done again. Null: no worker. */
export function doing(letter) {
  const small = letter.toLowerCase();
  const found = DOING[small];
  return found ? { ...found, letter: small, again: letter !== small } : null;
}

/** Of a worker's budget, by a letter of `Timeline.memory`: 0 to 9, then a to z; each is 1/32. Null: no worker. */
export function memoryShare(letter) {
  const code = letter.charCodeAt(0);
  if (code >= 48 && code <= 57) return (code - 48) / 32;
  if (code >= 97 && code <= 122) return (code - 87) / 32;
  return null;
}
