// Signs in at a provider of others' making (npm's oidc-provider) as people do: the link, the provider's own forms, back, in; and out again. Then somebody without a role.
// Reads what to go by as JSON from standard input and prints what was done and what was wrong.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const asked = JSON.parse(readFileSync(0, "utf8"));
const require = createRequire(asked.modules + "/");
const puppeteer = require("puppeteer-core");
console.warn = console.info = () => {};
const at = join(asked.modules, "node_modules/oidc-provider");
const main = JSON.parse(readFileSync(join(at, "package.json"), "utf8"));
const exported = main.exports?.["."] ?? main.exports ?? main.main ?? "index.js";
const entry = typeof exported === "string" ? exported : exported.default ?? exported.import;
const { Provider } = await import(pathToFileURL(join(at, entry)));

const groups = { alice: ["dns-ops", "staff"], mallory: ["staff"] };
const provider = new Provider(asked.issuer, {
  clients: [{ client_id: "interdict", client_secret: asked.secret, redirect_uris: [asked.base + "/login/back"], grant_types: ["authorization_code"], response_types: ["code"] }],
  claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  findAccount: async (_, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, email: `${id}@gc.example`, email_verified: true, groups: groups[id] ?? [] }),
  }),
});
const server = provider.listen(asked.port, "127.0.0.1");
await new Promise((done) => server.on("listening", done));

const wrong = [];
const steps = [];
const browser = await puppeteer.launch({
  executablePath: asked.chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--host-resolver-rules=MAP localhost 127.0.0.1"],
});
const shoot = async (page, name) => {
  if (!asked.shots) return;
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    for (const width of [360, 1920]) {
      await page.setViewport({ width, height: 740 });
      await page.screenshot({ path: `${asked.shots}/${name}-${width}-${scheme}.png`, fullPage: true });
    }
  }
  await page.setViewport({ width: 1280, height: 800 });
};

/** A person in a browser of its own, from the log-in page to wherever the provider lets it come. */
const person = async (name, language, scripts) => {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.setJavaScriptEnabled(scripts);
  await page.setExtraHTTPHeaders({ "Accept-Language": language });
  await page.goto(asked.base + "/login", { waitUntil: "load" });
  await shoot(page, `sign-in-${language}`);
  await Promise.all([page.waitForNavigation(), page.click('a[href="/login/oidc"]')]);
  if (!page.url().startsWith(asked.issuer)) wrong.push(`${name}: not at the provider: ${page.url()}`);
  steps.push("at the provider");
  await page.type('input[name="login"]', name);
  await page.type('input[name="password"]', "any");
  await Promise.all([page.waitForNavigation(), page.click('button[type="submit"]')]);
  steps.push("known to the provider");
  await Promise.all([page.waitForNavigation(), page.click('button[type="submit"]')]);
  // The page in between goes on by itself.
  for (let wait = 0; wait < 100 && page.url().includes("/login/back") && name === "alice"; wait += 1) await new Promise((done) => setTimeout(done, 50));
  return { context, page };
};

try {
  for (const scripts of [true, false]) {
    const { context, page } = await person("alice", "en", scripts);
    if (page.url() !== asked.base + "/") wrong.push(`alice ends at ${page.url()}: ${await page.content()}`);
    const text = await page.content();
    if (!text.includes("Logged in as <strong>oidc:alice@gc.example</strong>")) wrong.push(`alice is not in: ${text.slice(0, 3000)}`);
    const cookies = await context.cookies();
    const session = cookies.find((one) => one.name === "interdict-session");
    if (!session?.httpOnly || session.sameSite !== "Strict") wrong.push(`the cookie: ${JSON.stringify(session)}`);
    if (cookies.some((one) => one.name === "interdict-attempt")) wrong.push("the attempt's cookie stays");
    steps.push("in");
    await Promise.all([page.waitForNavigation(), page.click('form[action="/logout"] button')]);
    if ((await page.content()).includes("Logged in as")) wrong.push("alice is still in");
    steps.push("out");
    await context.close();
  }
  const { context, page } = await person("mallory", "fr", true);
  const text = await page.content();
  if (!text.includes("aucun rôle ici") || !text.includes("oidc:mallory@gc.example")) wrong.push(`mallory: ${text.slice(0, 3000)}`);
  steps.push("not in");
  await shoot(page, "sign-in-role");
  await context.close();
} catch (error) {
  wrong.push(String(error.stack));
}
await browser.close();
console.log(JSON.stringify({ steps, wrong }));
process.exit(0);
