// Looks at pages as a browser shows them: every page in both languages, narrow and wide, light and dark, by axe-core's rules of WCAG 2.1 A and AA; what
// the console says; what is wider than the screen; and, with scripts switched off, whether the words are still there. Reads what to look at as JSON from
// standard input and prints what is wrong as JSON lines.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { get } from "node:http";

const asked = JSON.parse(readFileSync(0, "utf8"));
const require = createRequire(asked.modules + "/");
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const RULES = { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] };
const WIDTHS = [360, 1920];
const SCHEMES = ["light", "dark"];

const wrong = [];
const say = (where, what) => { wrong.push({ where, what }); };

const browser = await puppeteer.launch({
  executablePath: asked.chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-device-scale-factor=1"],
});
let looked = 0;

/** A page of its own context, with a session where one is given, which says what goes wrong on it. */
const open = async (session, language) => {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.setExtraHTTPHeaders({ "Accept-Language": language });
  if (session) {
    await context.setCookie({ name: "interdict-session", value: session, domain: "127.0.0.1", path: "/", httpOnly: true, sameSite: "Strict" });
  }
  const where = () => page.url().replace(asked.base, "");
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warn") say(where(), `console: ${message.text()}`);
  });
  page.on("pageerror", (error) => say(where(), `script: ${error}`));
  page.on("requestfailed", (request) => {
    // What is still loaded when the next page is asked for is cut off.
    const why = request.failure()?.errorText;
    if (why !== "net::ERR_ABORTED") say(where(), `not loaded: ${request.url()}: ${why}`);
  });
  page.on("dialog", (dialog) => { say(where(), `a dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => {
    if (![asked.base, "data:", "about:"].some((ours) => request.url().startsWith(ours))) say(where(), `asked elsewhere: ${request.url()}`);
  });
  return { context, page };
};

/** Looks at what a page shows, narrow and wide, light and dark. */
const inspect = async (page, where, name, language) => {
  for (const scheme of SCHEMES) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    for (const width of WIDTHS) {
      await page.setViewport({ width, height: width < 500 ? 740 : 1080 });
      const wide = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      if (wide[0] > wide[1]) say(where, `${language} ${width}: ${wide[0]} wide`);
      const found = await page.evaluate(async (rules) => {
        const { violations } = await axe.run(document, { runOnly: rules, resultTypes: ["violations"] });
        return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html + " " + node.failureSummary).join(" | ")}`);
      }, RULES);
      for (const violation of found) say(where, `${language} ${width} ${scheme}: ${violation}`);
      looked += 1;
      if (asked.shots) await page.screenshot({ path: `${asked.shots}/${name}-${language}-${width}-${scheme}.png`, fullPage: true });
    }
  }
};

/** A page under another name than its address, as a browser would ask for it. */
const fetchAs = (url, host, language) =>
  new Promise((done, failed) => {
    const request = get(url, { headers: { Host: host, "Accept-Language": language } }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => { text += part; });
      response.on("end", () => done(text));
    });
    request.on("error", failed);
  });

for (const language of ["en", "fr"]) {
  const { context, page } = await open(asked.session, language);
  for (const { path, name } of asked.pages) {
    await page.setViewport({ width: WIDTHS[0], height: 740 });
    const response = await page.goto(asked.base + path, { waitUntil: "load" });
    if (response.status() >= 400) say(path, `status ${response.status()}`);
    const tag = await page.evaluate(() => document.documentElement.lang);
    if (tag !== language) say(path, `in the language ${tag} instead of ${language}`);
    await page.evaluate(axe);
    await inspect(page, path, name, language);
  }
  await context.close();
}

// The keyboard: the first stop leads past the navigation, and whatever has the focus shows it.
{
  const { context, page } = await open(asked.session, "en");
  await page.setViewport({ width: 1280, height: 800 });
  await page.goto(asked.base + "/", { waitUntil: "load" });
  await page.keyboard.press("Tab");
  const first = await page.evaluate(() => document.activeElement.className);
  if (first !== "skip") say("/", `the first stop is ${first}`);
  for (let stop = 0; stop < 12; stop += 1) {
    const seen = await page.evaluate(() => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
    });
    if (!seen) say("/", `stop ${stop} does not show that it has the focus`);
    await page.keyboard.press("Tab");
  }
  // The script of ours runs: without it nothing could be paused.
  const button = await page.$("button[aria-pressed]");
  if (!button) say("/", "updates cannot be paused");
  await context.close();
}

// Without scripts: the words that must be there.
{
  const { context, page } = await open(asked.session, "en");
  await page.setJavaScriptEnabled(false);
  for (const { path, words } of asked.pages) {
    const response = await page.goto(asked.base + path, { waitUntil: "load" });
    const text = await response.text();
    for (const word of words ?? []) if (!text.includes(word)) say(path, `without scripts: no ${word}`);
  }
  await context.close();
}

// Elsewhere: pages that stand alone, such as the report that prints and the one behind a sinkhole.
for (const { url, name, host } of asked.others ?? []) {
  for (const language of ["en", "fr"]) {
    const { context, page } = await open(asked.session, language);
    // Such a page forbids scripts, and ours is one.
    await page.setBypassCSP(true);
    const there = url.replace("LANGUAGE", language);
    if (host) {
      // Its name leads there by the resolver; the browser has none.
      const response = await fetchAs(there, host, language);
      await page.setContent(response, { waitUntil: "load" });
    } else {
      await page.goto(there, { waitUntil: "load" });
    }
    await page.evaluate(axe);
    await inspect(page, name, name, language);
    await context.close();
  }
}

await browser.close();
console.log(JSON.stringify({ looked, wrong }));
