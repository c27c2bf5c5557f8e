// Chromium without a window, and what every page must keep to whatever it is shown.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

// The packages lie where `cargo xtask page` installed them, which is not beside this file.
const packages = createRequire(process.env.PONDER_PAGE_PACKAGES ?? import.meta.url);
const { chromium } = packages("playwright-core");
const axe = readFileSync(packages.resolve("axe-core/axe.min.js"), "utf8");

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const SHOTS = fileURLToPath(new URL("../../target/page/shots/", import.meta.url));

export function launch() {
  mkdirSync(SHOTS, { recursive: true });
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
}

/** A page of a new visitor. `settings` are stored before it is opened; `close` checks what it was not to do. */
export async function visit(browser, url, { settings = {}, stored = {}, path = "/", ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light", ...options });
  const faults = [];
  context.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== url && !["data:", "blob:"].includes(protocol)) faults.push(`a request to ${request.url()}`);
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => faults.push(`an exception: ${error.stack}`));
  page.on("console", (message) => {
    // The browser itself reports each answer that is an error; that the page shows it is checked where it is expected.
    const isStatus = /^Failed to load resource/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !isStatus) faults.push(`the console: ${message.text()}`);
  });
  // Once, not at each reload.
  await page.addInitScript((entries) => {
    if (sessionStorage.getItem("visited")) return;
    sessionStorage.setItem("visited", "yes");
    for (const [key, value] of Object.entries(entries)) localStorage.setItem(key, value);
  }, { "ponder.settings": JSON.stringify({ temperature: 0, ...settings }), ...stored });
  await page.goto(url + path);
  await page.locator("#model:enabled").waitFor();
  const close = async () => {
    await context.close();
    assert.deepEqual(faults, []);
  };
  return { page, context, close };
}

export async function ask(page, text) {
  await page.getByLabel("Your question", { exact: true }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

/** The last answer, once it is complete. */
export async function answered(page) {
  const answer = page.locator("#view-chat article.answer").last();
  await answer.and(page.locator("[aria-busy=false]")).waitFor();
  return answer;
}

/** What axe finds wrong with the page as it is now. */
export async function accessible(page, what) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const violations = found.violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.map((node) => `${node.target} ${node.failureSummary}`) }));
  assert.deepEqual(violations, [], what);
}

/** Nothing is wider than the screen. */
export async function fits(page, what) {
  const wide = await page.evaluate(() => {
    const visible = [...document.querySelectorAll("body *")].filter((node) => node.checkVisibility({ visibilityProperty: true }) && !node.closest(".wide, pre, .hidden, [inert]"));
    return visible.filter((node) => node.getBoundingClientRect().right > innerWidth + 1).map((node) => `${node.tagName}.${node.getAttribute("class")}`);
  });
  assert.deepEqual(wide, [], what);
}

export async function shoot(page, name) {
  await page.screenshot({ path: `${SHOTS}${name}.png` });
}
