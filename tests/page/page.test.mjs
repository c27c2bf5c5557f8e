// The page, in a browser, with a real server.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";

import { accessible, answered, ask, fits, launch, shoot, visit } from "./browser.mjs";
import { end, startPonder, startScripted, thinkLong } from "./server.mjs";

const SUM = "What is (48 - 19) × 4 - 37?";
let browser;
let ponder;
let slow;
let scripted;

before(async () => {
  // The reference backend takes its time, so that a thought can be interrupted by hand.
  [browser, ponder, slow] = await Promise.all([launch(), startPonder(), startPonder("--device", "reference")]);
  scripted = await startScripted(ponder.url);
});
after(async () => {
  await browser?.close();
  await scripted?.stop();
  await ponder?.stop();
  await slow?.stop();
});

/** Opens the page, and closes it with its checks. */
async function withPage(options, check, url = ponder.url) {
  const { page, context, close } = await visit(browser, url, options);
  await check(page, context);
  await close();
}

/** Has the model in the program, whose thoughts are short, think for long. */
async function thinkForLong(page) {
  await page.route("**/v1/chat/completions", async (route) => {
    const body = route.request().postDataJSON();
    body.thinking = { ...body.thinking, min_tokens: 700, loop_guard: false };
    await route.continue({ postData: JSON.stringify(body) });
  });
}

describe("a conversation", () => {
  test("shows the thought folded, the answer, and what both cost", () =>
    withPage({ settings: { effort: "high" } }, async (page) => {
      await shoot(page, "welcome");
      await ask(page, SUM);
      const answer = await answered(page);
      assert.match(await answer.locator(".prose").innerText(), /The answer is 79\./);
      const fold = answer.locator(".thought-fold");
      assert.equal(await fold.getAttribute("aria-expanded"), "false");
      assert.match(await fold.innerText(), /Thought\s+\d+ tokens/);
      const thought = answer.getByRole("region", { name: "Thinking" });
      assert.equal(await thought.isVisible(), false);
      await fold.click();
      assert.equal(await fold.getAttribute("aria-expanded"), "true");
      assert.match(await thought.innerText(), /29×4/);
      await shoot(page, "answer");
      await fold.click();
      assert.equal(await thought.isVisible(), false);
      const stats = await answer.locator(".stats").innerText();
      for (const what of [/First token\s*\d/, /First word\s*\d/, /Speed\s*[\d,.]+ tok\/s/, /Written\s*\d+ tokens, \d+ % thinking/, /Read\s*\d+ tokens, \d+ cached/, /Thinking ended\s*by the model/]) assert.match(stats, what);
      assert.match(await page.locator("#announce").textContent(), /The answer is 79\./);
    }));

  test("goes on, from the cache, and does as its settings say", () =>
    withPage({ settings: { effort: "low" } }, async (page) => {
      await ask(page, SUM);
      await answered(page);
      const slider = page.locator("#view-chat input[type=range]");
      await slider.focus();
      for (let i = 0; i < 2; i += 1) await page.keyboard.press("ArrowLeft");
      assert.equal(await slider.getAttribute("aria-valuetext"), "None");
      await ask(page, "What is 17 + 25?");
      const second = await answered(page);
      assert.equal(await second.locator(".thought").isVisible(), false);
      assert.match(await second.locator(".stats").innerText(), /Read\s*\d+ tokens, [1-9]\d* cached/);

      await page.keyboard.press("Alt+,");
      const settings = page.getByRole("dialog", { name: "Settings" });
      await settings.getByLabel("Temperature").fill("7");
      assert.equal(await settings.getByLabel("Temperature").getAttribute("aria-invalid"), "true");
      assert.match(await settings.innerText(), /at most 2/);
      await settings.getByLabel("Temperature").fill("0");
      await settings.getByLabel("Budget in tokens").fill("24");
      await settings.getByRole("button", { name: "Done" }).click();
      await slider.focus();
      await page.keyboard.press("End");
      await ask(page, "What is (48 - 19) × 4 - 36?");
      const third = await answered(page);
      const detail = await third.locator(".thought-detail").innerText();
      assert.ok(Number.parseInt(detail, 10) <= 24, detail);
      assert.match(detail, /until its budget was used/);
    }));

  test("lets answers vote and shows the tally", () =>
    withPage({ settings: { effort: "low", votes: 3 } }, async (page) => {
      await ask(page, SUM);
      const answer = await answered(page);
      const table = answer.getByRole("table", { name: /3 answers voted/ });
      assert.ok((await table.getByRole("rowheader").count()) >= 1);
      const votes = (await table.locator(".count").allInnerTexts()).map(Number);
      assert.ok(votes[0] >= 2, String(votes));
      assert.match(await answer.locator(".thought-detail").innerText(), /\d+ tokens in 3 answers/);
    }));

  test("ends a thought when the answer is wanted", () =>
    withPage(
      { settings: { effort: "max" } },
      async (page) => {
        await thinkForLong(page);
        await ask(page, SUM);
        await page.getByRole("button", { name: "Answer now" }).click();
        const answer = await answered(page);
        assert.match(await answer.locator(".thought-detail").innerText(), /until you asked for the answer/);
        assert.match(await answer.locator(".prose").innerText(), /answer is/);
      },
      slow.url,
    ));

  test("stops", () =>
    withPage(
      { settings: { effort: "max" } },
      async (page) => {
        await thinkForLong(page);
        await ask(page, SUM);
        await page.locator(".thought.running").waitFor();
        await page.keyboard.press("Escape");
        const answer = await answered(page);
        assert.match(await answer.innerText(), /Stopped before the end/);
        assert.equal(await page.getByRole("button", { name: "Send" }).count(), 1);
      },
      slow.url,
    ));

  test("answers again, and another question instead of the last", () =>
    withPage({ settings: { effort: "low" } }, async (page) => {
      await ask(page, SUM);
      await answered(page);
      await page.getByRole("button", { name: /Answer again/ }).click();
      await answered(page);
      assert.equal(await page.locator("#view-chat article.question").count(), 1);
      await page.getByLabel("Your question", { exact: true }).press("ArrowUp");
      const edit = page.getByLabel("Edit your question");
      await edit.fill("What is 20 + 30?");
      await edit.press("Enter");
      const answer = await answered(page);
      assert.match(await answer.locator(".prose").innerText(), /50/);
      assert.equal(await page.locator("#view-chat article.question").count(), 1);
    }));
});

describe("the history", () => {
  test("is there after a reload, and can be renamed, exported and deleted", () =>
    withPage({ settings: { effort: "low" } }, async (page) => {
      await ask(page, SUM);
      await answered(page);
      await page.getByRole("button", { name: "New conversation" }).click();
      await ask(page, "What is 20 + 30?");
      await answered(page);
      await page.reload();
      const list = page.locator("#history-list");
      assert.deepEqual(await list.locator(".history-open").allInnerTexts(), ["What is 20 + 30?", SUM]);
      await list.getByRole("button", { name: SUM, exact: true }).click();
      assert.match(await (await answered(page)).locator(".prose").innerText(), /The answer is/);
      assert.match(await page.locator(".stats").innerText(), /First word/);

      await page.getByRole("button", { name: `More about “${SUM}”` }).click();
      await page.getByRole("button", { name: "Rename" }).click();
      await page.keyboard.type("My sum");
      await page.keyboard.press("Enter");
      assert.equal(await page.evaluate(() => document.activeElement.textContent), "My sum");

      await page.getByRole("button", { name: "More about “My sum”" }).click();
      const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export as JSON" }).click()]);
      const exported = JSON.parse(await readFile(await download.path(), "utf8"));
      assert.deepEqual([exported.title, exported.messages[0].text, exported.messages.length], ["My sum", SUM, 2]);

      await page.getByRole("button", { name: "More about “My sum”" }).click();
      await page.getByRole("button", { name: "Delete", exact: true }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
      await list.getByText("My sum").waitFor({ state: "detached" });
      await page.reload();
      assert.deepEqual(await list.locator(".history-open").allInnerTexts(), ["What is 20 + 30?"]);
      await page.getByRole("button", { name: "Delete all" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Delete all" }).click();
      await list.locator("li").waitFor({ state: "detached" });
      assert.equal(await page.locator(".welcome").isVisible(), true);
    }));

  test("that is damaged takes nothing else with it", () =>
    withPage(
      {
        stored: {
          "ponder.settings": "{",
          "ponder.theme": "mauve",
          "ponder.chat.a": "{not json",
          "ponder.chat.b": '{"id":"b","messages":[{"role":"user"}]}',
          "ponder.chat.c": '{"id":"c","title":"Whole","created":1,"updated":2,"messages":[{"role":"user","text":"<b>q</b>"}]}',
        },
      },
      async (page) => {
        assert.deepEqual(await page.locator(".history-open").allInnerTexts(), ["Whole"]);
        assert.match(await page.locator("#notice").innerText(), /2 stored conversations could not be read/);
        assert.equal(await page.locator(".bubble").innerText(), "<b>q</b>");
        await ask(page, "What is 20 + 30?");
        await answered(page);
      },
    ));

  test("keeps what was there of an answer when the page is left", () =>
    withPage(
      {},
      async (page) => {
        scripted.script = thinkLong;
        await ask(page, "What is 17 + 25 × 3?");
        await page.locator(".thought-peek", { hasText: "product" }).waitFor();
        await page.reload();
        const answer = await answered(page);
        assert.match(await answer.innerText(), /Thought[\s\S]*Stopped before the end/);
        scripted.script = null;
      },
      scripted.url,
    ));

  test("goes on answering one conversation while another is read", () =>
    withPage(
      {},
      async (page) => {
        scripted.script = thinkLong;
        await ask(page, "What is 17 + 25 × 3?");
        await page.locator(".thought.running").waitFor();
        await page.keyboard.press("Alt+n");
        assert.equal(await page.locator(".welcome").isVisible(), true);
        await page.getByRole("button", { name: "What is 17 + 25 × 3?", exact: true }).click();
        await page.getByRole("button", { name: "Answer now" }).click();
        assert.match(await (await answered(page)).innerText(), /92/);
        scripted.script = null;
      },
      scripted.url,
    ));
});

describe("while it is thought", () => {
  test("the page shows what is read, thought and left, and says it without noise", () =>
    withPage(
      { settings: { effort: "high", budgetTokens: 200 } },
      async (page) => {
        scripted.script = thinkLong;
        const said = await page.evaluateHandle(() => {
          const texts = [];
          new MutationObserver(() => texts.push(document.getElementById("announce").textContent)).observe(document.getElementById("announce"), { childList: true });
          return texts;
        });
        await ask(page, "What is 17 + 25 × 3?");
        await page.getByText(/Reading the question: \d+ of 40 tokens/).waitFor();
        const detail = page.locator(".thought-detail");
        await detail.filter({ hasText: /^\d+ of 200 tokens$/ }).waitFor();
        const dashes = () => page.locator(".thought .ring-arc").getAttribute("stroke-dasharray").then(Number.parseFloat);
        const [n, drawn] = [Number.parseInt(await detail.innerText(), 10), await dashes()];
        await page.waitForFunction((n) => Number.parseInt(document.querySelector(".thought-detail").textContent, 10) > n + 20, n);
        assert.ok((await dashes()) > drawn, "the ring grows");
        await accessible(page, "while thinking");
        await shoot(page, "thinking");
        await page.keyboard.press("Alt+a");
        const answer = await answered(page);
        assert.equal(await answer.locator("strong").innerText(), "92");
        assert.deepEqual(await said.jsonValue(), ["Asked.", "Thinking.", "Answering now.", "The answer is 92."]);
        scripted.script = null;
      },
      scripted.url,
    ));

  test("nothing moves for those who do not want it", () =>
    withPage(
      { reducedMotion: "reduce" },
      async (page) => {
        scripted.script = thinkLong;
        await ask(page, "What is 17 + 25 × 3?");
        await page.locator(".thought.running").waitFor();
        const animated = await page.evaluate(() => document.getAnimations().length);
        assert.equal(animated, 0);
        await page.keyboard.press("Escape");
        await answered(page);
        scripted.script = null;
      },
      scripted.url,
    ));

  test("what a model writes is never more than text", () =>
    withPage(
      {},
      async (page) => {
        const evil = '<img src=x onerror="document.title=1"><script>document.title=2</script> [a](javascript:document.title=3) ![b](https://example.org/b.png) <a href="https://example.org">c</a>';
        scripted.script = (body, say) => {
          say.delta({ reasoning_content: evil });
          say.delta({ content: `${evil}\n\n| ${evil.replaceAll("|", "")} |\n|---|\n\n\`\`\`${evil}\n${evil}\n\`\`\`` });
          say.delta({ tool_calls: [{ index: 0, id: "x", type: "function", function: { name: evil, arguments: evil } }] });
          end(say, { reason: "tool_calls" });
        };
        await ask(page, evil);
        const answer = await answered(page);
        assert.equal(await page.title(), "ponder");
        assert.equal(await answer.locator("img, script, iframe").count(), 0);
        const links = await answer.locator("a").evaluateAll((all) => all.map((one) => one.href));
        assert.ok(links.length > 0 && links.every((href) => href.startsWith("https://example.org/")), String(links));
        scripted.script = null;
      },
      scripted.url,
    ));
});

describe("the testers", () => {
  test("a document fits the schema that it was asked with", () =>
    withPage({ path: "/#schema", settings: { effort: "low" } }, async (page) => {
      const view = page.locator("#view-schema");
      await view.getByRole("button", { name: "Ask" }).click();
      await view.getByText("Fits the schema.").waitFor();
      const document = JSON.parse(await view.locator(".document pre").innerText());
      assert.deepEqual(Object.keys(document).sort(), ["is_even", "result"]);
      await accessible(page, "schema tester");
      await shoot(page, "schema");

      await view.getByLabel("JSON Schema").fill("{");
      await view.getByRole("button", { name: "Ask" }).click();
      assert.match(await view.locator(".help").first().innerText(), /not JSON yet/);
      await view.getByLabel("JSON Schema").fill('{"type": "object"}');
      await view.getByRole("button", { name: "Ask" }).click();
      const error = view.getByRole("alert");
      await error.waitFor();
      assert.match(await error.innerText(), /Error 400[\s\S]+additionalProperties[\s\S]+Change “response_format/);
    }));

  test("a tool is called, answers by hand, and the model goes on", () =>
    withPage(
      { path: "/#tools" },
      async (page) => {
        scripted.bodies = [];
        // The model in the program knows no tools.
        scripted.script = (body, say) => {
          if (body.messages.at(-1).role === "tool") {
            say.delta({ content: `It is ${JSON.parse(body.messages.at(-1).content).temperature} degrees.` });
            return end(say);
          }
          say.delta({ reasoning_content: "I need the weather." });
          say.delta({ tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name: "get_weather", arguments: '{"city":"Oslo"}' } }] });
          return end(say, { reason: "tool_calls", reasoning: 5, completion: 20 });
        };
        const view = page.locator("#view-tools");
        await view.getByLabel("Tool choice").selectOption("required");
        await view.getByRole("button", { name: "Ask" }).click();
        await view.getByText("Calls get_weather").waitFor();
        const result = view.getByLabel("Result of get_weather");
        await result.fill('{"temperature": 7}');
        await accessible(page, "tool tester");
        await shoot(page, "tools");
        await view.getByRole("button", { name: "Hand back and go on" }).click();
        await view.getByText("It is 7 degrees.").waitFor();
        const [first, second] = scripted.bodies;
        assert.equal(first.tools[0].function.name, "get_weather");
        assert.equal(first.tool_choice, "required");
        assert.deepEqual(
          second.messages.map((message) => message.role),
          ["user", "assistant", "tool"],
        );
        assert.deepEqual([second.messages[1].tool_calls[0].id, second.messages[2].tool_call_id], ["call_1", "call_1"]);
        scripted.script = null;
      },
      scripted.url,
    ));
});

describe("what goes wrong", () => {
  test("is said by the server, and shown with what to do", () =>
    withPage({}, async (page) => {
      await ask(page, "one ".repeat(3000));
      const error = page.getByRole("alert");
      await error.waitFor();
      const text = await error.innerText();
      assert.match(text, /Error 400/);
      assert.match(text, /1,?024/);
      await answered(page);
      await accessible(page, "an error");
      await shoot(page, "error");
    }));

  test("a server that has much to do, breaks off, or is gone", () =>
    withPage(
      {},
      async (page) => {
        const expectError = async (script, pattern) => {
          scripted.script = script;
          await ask(page, "What is 17 + 25 × 3?");
          await answered(page);
          assert.match(await page.getByRole("alert").last().innerText(), pattern);
        };
        await expectError((body, say) => say.fail(429, { message: "Too many requests wait." }, { "retry-after": "7" }), /Error 429[\s\S]+wait\.[\s\S]+in 7 s/);
        await expectError((body, say) => {
          say.delta({ content: "begun" });
          return say.sleep(50).then(say.cut);
        }, /broke before the answer/);
        await expectError((body, say) => say.cut(), /cannot be reached[\s\S]+ponder serve/);
        await expectError((body, say) => say.chunk({ error: { message: "out of memory; hint: a shorter question" } }), /out of memory\s+A shorter question\./);
        await expectError((body, say) => say.fail(500, "not as the API says"), /Error 500[\s\S]+not as the API says/);
        scripted.script = null;
      },
      scripted.url,
    ));

  test("a server with a key asks for it, and keeps it for the session only", async () => {
    const locked = await startPonder("--api-key", "sesame");
    try {
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.goto(locked.url);
      const dialog = page.getByRole("dialog", { name: "API key" });
      await dialog.getByLabel("Key", { exact: true }).fill("wrong");
      await dialog.getByRole("button", { name: "Use it" }).click();
      await dialog.getByText("does not take this key").waitFor();
      await accessible(page, "asking for a key");
      await dialog.getByLabel("Key", { exact: true }).fill("sesame");
      await page.keyboard.press("Enter");
      await page.locator("#model:enabled").waitFor();
      await ask(page, "What is 20 + 30?");
      assert.match(await (await answered(page)).locator(".prose").innerText(), /50/);
      const kept = await page.evaluate(() => [sessionStorage.getItem("ponder.key"), JSON.stringify(localStorage).includes("sesame")]);
      assert.deepEqual(kept, ["sesame", false]);
      await context.close();
    } finally {
      await locked.stop();
    }
  });
});

describe("for everybody", () => {
  for (const colorScheme of ["light", "dark"]) {
    test(`axe finds nothing, ${colorScheme}`, () =>
      withPage({ colorScheme, settings: { effort: "low" } }, async (page) => {
        await accessible(page, "welcome");
        await ask(page, SUM);
        await (await answered(page)).locator(".thought-fold").click();
        await accessible(page, "an answer");
        await shoot(page, `answer-${colorScheme}`);
        await page.getByRole("button", { name: "Settings" }).click();
        await accessible(page, "settings");
        await shoot(page, `settings-${colorScheme}`);
        await page.keyboard.press("Escape");
        await page.keyboard.press("Alt+/");
        await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
        await accessible(page, "shortcuts");
        await page.keyboard.press("Escape");
        await page.getByRole("button", { name: /^More about/ }).click();
        await accessible(page, "the menu of a conversation");
      }));
  }

  test("the theme follows the system until one is chosen", () =>
    withPage({ colorScheme: "dark" }, async (page) => {
      const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const dark = await paper();
      await page.getByRole("button", { name: "Theme: as the system" }).click();
      const light = await paper();
      assert.notEqual(light, dark);
      await page.reload();
      assert.equal(await paper(), light);
      await page.getByRole("button", { name: "Theme: light" }).click();
      await page.emulateMedia({ colorScheme: "light" });
      assert.equal(await paper(), dark);
      await page.getByRole("button", { name: "Theme: dark" }).click();
      assert.equal(await paper(), light);
    }));

  test("on a phone everything fits and can be reached", () =>
    withPage({ viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2, colorScheme: "dark", settings: { effort: "high" } }, async (page) => {
      await fits(page, "welcome");
      await shoot(page, "phone-welcome");
      await ask(page, SUM);
      await (await answered(page)).locator(".thought-fold").click();
      await fits(page, "an answer");
      await accessible(page, "an answer on a phone");
      await shoot(page, "phone-answer");
      await page.getByRole("button", { name: "Views and conversations" }).click();
      await page.getByRole("link", { name: "Schema" }).waitFor();
      await accessible(page, "the list on a phone");
      await shoot(page, "phone-list");
      await page.getByRole("link", { name: "Schema" }).click();
      await page.getByRole("heading", { name: "Schema tester" }).waitFor();
      await fits(page, "schema tester");
      await page.getByRole("button", { name: "Settings" }).click();
      await fits(page, "settings");
      await shoot(page, "phone-settings");
    }));

  test("the keyboard is enough", () =>
    withPage({ settings: { effort: "low" } }, async (page) => {
      // Where one is after opening the page.
      await page.keyboard.type(SUM);
      await page.keyboard.press("Alt+ArrowUp");
      await page.keyboard.press("Enter");
      const answer = await answered(page);
      assert.equal(await page.evaluate(() => document.activeElement.id), "ask");
      await page.keyboard.press("Alt+t");
      assert.equal(await answer.getByRole("region", { name: "Thinking" }).isVisible(), true);
      await page.keyboard.press("Alt+l");
      await page.keyboard.press("Escape");
      assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Edit and ask again");

      // Everything that can be clicked can be tabbed to, and shows that it has the focus.
      await page.keyboard.press("Alt+n");
      await page.evaluate(() => document.activeElement.blur());
      const seen = new Set();
      for (let i = 0; i < 40; i += 1) {
        await page.keyboard.press("Tab");
        const at = await page.evaluate(() => {
          const node = document.activeElement;
          const ring = getComputedStyle(node).outlineStyle !== "none" || node.closest(".composer-card") !== null;
          return { name: node.getAttribute("aria-label") ?? node.textContent, ring, tag: node.tagName };
        });
        if (at.tag === "BODY") continue;
        assert.ok(at.ring, `the focus shows on ${at.name}`);
        seen.add(at.name.trim());
      }
      for (const name of ["Skip to the question", "Chat", "Schema", "Tools", "New conversation", SUM, "Settings", "Keyboard shortcuts", "Your question"]) assert.ok(seen.has(name), `${name} of ${[...seen]}`);
      await page.keyboard.press("Alt+3");
      await page.getByRole("heading", { name: "Tool tester" }).waitFor();
      await page.keyboard.press("Alt+1");
      await page.locator("#view-chat").waitFor();
    }));
});
