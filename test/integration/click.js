/* Clicks through lanestat's page as a person would, while lanes send.
 *
 *	node click.js PLAYWRIGHT-CORE BROWSER URL LANE...
 *
 * Prints a line for each step; the first that is not as it should be ends it,
 * with status 1. Of test_click.py.
 */
"use strict";

const assert = require("node:assert");
const [library, executablePath, url, ...lanes] = process.argv.slice(2);
const { chromium } = require(library);

const WAIT_MS = 60000;
const wrong = [];

/* What a console says, what fails to load, and what is from elsewhere. */
function listen(page) {
	page.on("console", (m) => wrong.push(`console: ${m.text()}`));
	page.on("pageerror", (e) => wrong.push(`error: ${e}`));
	page.on("requestfailed", (r) => {
		/* A page that is left asks no further. */
		if (r.failure().errorText !== "net::ERR_ABORTED")
			wrong.push(`${r.url()}: ${r.failure().errorText}`);
	});
	page.on("response", (r) => {
		if (r.status() >= 400)
			wrong.push(`${r.url()}: ${r.status()}`);
	});
	page.on("request", (r) => {
		if (!r.url().startsWith(url))
			wrong.push(`from elsewhere: ${r.url()}`);
	});
	page.setDefaultTimeout(WAIT_MS);
}

/* The page's policy forbids what waitForFunction() does. */
async function until(what, look) {
	const end = Date.now() + WAIT_MS;
	let seen;

	for (;;) {
		seen = await look();
		if (seen)
			return seen;
		assert(Date.now() < end, `not seen: ${what}`);
		await new Promise((done) => setTimeout(done, 100));
	}
}

async function step(what, work) {
	await work();
	assert.deepStrictEqual(wrong, [], what);
	console.log(what);
}

const figure = (card, name) => card.locator("dl > div")
	.filter({ has: card.page().locator(`dt:text-is("${name}")`) })
	.locator("dd");

async function each_lane(page) {
	await until("a card for each lane", async () =>
		await page.locator("#strip .lane").count() === lanes.length);
	for (const name of lanes) {
		const card = page.locator("#strip .lane")
			.filter({ has: page.locator(`h2:text-is("${name}")`) });

		assert.match(await card.locator(".pill").innerText(),
			/^(well|slowed)$/);
		assert.match(await card.locator(".sentence").innerText(), /\w{3}/);
		await until(`${name} sends`, async () =>
			parseFloat(await figure(card, "sent").innerText()) > 0);
		await until(`${name} has sessions`, async () =>
			parseInt(await figure(card, "sessions").innerText(), 10) > 0);
	}
}

/* What a lane has delivered in the time that is shown. */
const delivered = (page, i) => page.locator("#lanes .replies").nth(i)
	.locator("div").filter({ hasText: "delivered" }).locator("dd")
	.innerText().then((text) => parseFloat(text.replace(/[^\d.]/g, "")));

async function it_lives(page) {
	for (let i = 0; i < lanes.length; i++) {
		const before = await delivered(page, i);

		await until(`${lanes[i]} delivers more`, async () =>
			await delivered(page, i) > before);
	}
}

async function each_span(page) {
	const buttons = page.locator("#spans button");
	const count = await buttons.count();

	assert.strictEqual(count, 3);
	for (let i = count - 1; i >= 0; i--) {
		await buttons.nth(i).click();
		await until("its button is pressed", async () =>
			await buttons.nth(i).getAttribute("aria-pressed") === "true" &&
			await page.locator("#spans [aria-pressed=true]").count() === 1);
		await until("a line in each graph", async () =>
			await page.locator("#lanes .rate-line").count() >= lanes.length);
	}
}

/* The pointer where the newest figures are. */
async function each_graph(page) {
	for (let i = 0; i < lanes.length; i++) {
		const svg = page.locator("#lanes svg:has(.rate-line)").nth(i);

		await until("a tip", async () => {
			const box = await svg.boundingBox();

			if (!box)	/* it is just drawn anew */
				return false;
			await svg.scrollIntoViewIfNeeded();
			const now = await svg.boundingBox();

			if (!now)
				return false;
			await page.mouse.move(now.x + now.width - 8, now.y + 20);
			await page.mouse.move(now.x + now.width - 8, now.y + 21);
			return /messages\/s/.test(
				await page.locator("#tip").textContent()) &&
				await page.locator("#tip").isVisible();
		});
		await page.mouse.move(1, 1);
		await until("no tip", () => page.locator("#tip").isHidden());
	}
}

async function each_account(page) {
	const told = await (await page.request.get(`${url}api/status`)).json();
	const used = told.accounts.filter((a) => a.is_in_use);

	await until("a card for each account", async () =>
		await page.locator("#accounts .account").count() === used.length);
	for (let i = 0; i < used.length; i++)
		assert.strictEqual(await page.locator("#accounts .account").nth(i)
			.locator(".cells .cell").count(), used[i].limit);
}

async function each_link(page) {
	const words = { "healthz": lanes[0] + ": ", "metrics": "# TYPE",
		"api/status": '"schema"' };

	for (const [link, word] of Object.entries(words)) {
		await page.locator(`footer a[href="${link}"]`).click();
		await page.waitForURL(url + link);
		await until(`${link} says ${word}`, async () =>
			(await page.locator("body").innerText()).includes(word));
		await page.goBack();
		await until("the page again", async () =>
			await page.locator("#strip .lane").count() === lanes.length);
	}
}

const light_of = (page) => page.evaluate(() =>
	getComputedStyle(document.documentElement).backgroundColor
		.match(/\d+/g).map(Number).reduce((a, b) => a + b));

async function each_theme(page) {
	await page.emulateMedia({ colorScheme: "dark" });
	assert((await light_of(page)) < 150);
	await page.emulateMedia({ colorScheme: "light" });
	assert((await light_of(page)) > 600);
}

const too_wide = (page) => page.evaluate(() =>
	document.documentElement.scrollWidth - innerWidth);

async function with_scripts(browser) {
	const page = await browser.newPage({ colorScheme: "light" });

	listen(page);
	await step("the page", () => page.goto(url));
	await step("each lane sends", () => each_lane(page));
	await step("it lives", () => it_lives(page));
	await step("each range of time", () => each_span(page));
	await step("each graph under the pointer", () => each_graph(page));
	await step("each account", () => each_account(page));
	await step("each link", () => each_link(page));
	await step("light and dark", () => each_theme(page));
	await page.close();
}

async function on_a_telephone(browser) {
	const context = await browser.newContext({
		viewport: { width: 360, height: 740 }, hasTouch: true,
		isMobile: true, colorScheme: "dark" });
	const page = await context.newPage();

	listen(page);
	await page.goto(url);
	await step("each lane on 360 px", () => each_lane(page));
	await step("nothing beyond 360 px", () => until("it fits", async () =>
		await too_wide(page) <= 0));
	await step("its buttons under a finger", async () => {
		const day = page.locator("#spans button").last();

		await day.tap();
		await until("the day", async () =>
			await day.getAttribute("aria-pressed") === "true");
		assert(await too_wide(page) <= 0);
	});
	await context.close();
}

async function without_scripts(browser) {
	const context = await browser.newContext({ javaScriptEnabled: false,
		viewport: { width: 360, height: 740 } });
	const page = await context.newPage();

	listen(page);
	await page.goto(url);
	await step("tables without JavaScript", async () => {
		for (const name of lanes)
			assert(await page.locator("#tables tr")
				.filter({ has: page.locator(`td:text-is("${name}")`) })
				.count() > 1);
		assert.strictEqual(
			await page.locator("#strip .lane").count(), 0);
	});
	await context.close();
}

async function main() {
	const browser = await chromium.launch({ executablePath,
		args: ["--no-sandbox", "--disable-dev-shm-usage"] });

	try {
		await with_scripts(browser);
		await on_a_telephone(browser);
		await without_scripts(browser);
	} finally {
		await browser.close();
	}
}

main().catch((error) => {
	console.error(String(error.stack || error), wrong);
	process.exitCode = 1;
});
