// Numbers as text. Pure.

const count = new Intl.NumberFormat("en");

/** 12345 → "12,345". */
export function whole(n) {
  return count.format(Math.round(n));
}

/** "1 token", "2 tokens". */
export function tokens(n) {
  return `${whole(n)} ${n === 1 ? "token" : "tokens"}`;
}

/** Seconds with as many digits as one can use. */
export function seconds(s) {
  if (s < 0.001) return "under 1 ms";
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 100) return `${s.toFixed(1)} s`;
  return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
}

/** Tokens per second. */
export function speed(tps) {
  return `${tps < 20 ? tps.toFixed(1) : whole(tps)} tok/s`;
}

/** `part` of `all` in percent. */
export function percent(part, all) {
  return `${all > 0 ? Math.round((100 * part) / all) : 0} %`;
}
