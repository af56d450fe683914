// What is wrong with the page for people who see little, use no mouse, or listen to it: a list of faults.
(() => {
	const faults = [];
	const say = (fault, element) => faults.push(fault + ": " + element.outerHTML.slice(0, 160));
	const seen = (element) => element.checkVisibility() && element.getClientRects().length > 0;

	if (!document.documentElement.lang) faults.push("the page has no language");
	if (!document.title) faults.push("the page has no title");
	for (const [name, count] of [["main", 1], ["header", 1], ["footer", 1], ["h1", 1]])
		if (document.querySelectorAll(name).length !== count) faults.push(`the page has not ${count} <${name}>`);
	if (document.documentElement.scrollWidth > document.documentElement.clientWidth)
		faults.push(`the page is ${document.documentElement.scrollWidth} wide in a window of ${document.documentElement.clientWidth}`);

	for (const element of document.querySelectorAll("body *")) {
		const box = element.getBoundingClientRect();
		if (seen(element) && !element.closest(".unseen, .skip") && (box.right > document.documentElement.clientWidth + 1 || box.left < -1)) say(`sticks out from ${box.left} to ${box.right}`, element);
	}
	// What others have chosen is text and nothing else.
	for (const element of document.querySelectorAll("script:not([src='/static/pages.js']), img, iframe, object, style, b, base, [style]"))
		say("this is none of the page's own", element);
	for (const element of document.querySelectorAll("*"))
		if ([...element.attributes].some((a) => a.name.startsWith("on"))) say("this has a script", element);
	if (/[\u202a-\u202e\u2066-\u2069\u0000-\u0008\u001b]/.test(document.body.innerText)) faults.push("signs that turn the order or are not seen stand in the text");
	const ids = new Set();
	for (const element of document.querySelectorAll("[id]")) {
		if (ids.has(element.id)) say("the id is there twice", element);
		ids.add(element.id);
	}
	for (const element of document.querySelectorAll("[aria-labelledby], [aria-describedby], label[for]"))
		for (const id of (element.getAttribute("aria-labelledby") || element.getAttribute("aria-describedby") || element.htmlFor).split(" "))
			if (!ids.has(id)) say("it names an id that is not there", element);
	for (const table of document.querySelectorAll("table")) {
		if (!table.tHead) say("a table has no head", table);
		for (const head of table.querySelectorAll("th")) if (!head.scope) say("a head of a table has no scope", head);
		for (const row of table.tBodies[0].rows) if (row.cells[0].tagName !== "TH") say("a row has no head", row);
	}

	let rank = 0;
	for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
		const now = Number(heading.tagName[1]);
		if (now > rank + 1) say("a heading leaves a rank out", heading);
		rank = now;
	}
	for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
		if (![...field.labels].some((label) => label.textContent.trim())) say("a field has no label", field);
	for (const element of document.querySelectorAll("a, button, summary"))
		if (!element.textContent.trim()) say("nothing says what this does", element);
	const names = new Map();
	for (const nav of document.querySelectorAll("nav")) {
		const name = nav.getAttribute("aria-label");
		if (!name || names.has(name)) say("a navigation has no name of its own", nav);
		names.set(name, nav);
	}
	for (const link of document.querySelectorAll("a[href^='#']"))
		if (!document.querySelector(link.getAttribute("href"))) say("a link leads nowhere", link);

	// WCAG 2: contrast of text with what is behind it.
	const parse = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
	const luminance = ([r, g, b]) => {
		const part = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
		return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
	};
	const behind = (element) => {
		for (let e = element; e; e = e.parentElement) {
			const colour = parse(getComputedStyle(e).backgroundColor);
			if (colour.length === 3 || colour[3] === 1) return colour;
		}
		return parse(matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(18,18,18)" : "rgb(255,255,255)");
	};
	const contrast = (a, b) => {
		const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
		return (light + 0.05) / (dark + 0.05);
	};
	for (const element of document.querySelectorAll("body *")) {
		const own = [...element.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim());
		if (!own || !seen(element)) continue;
		const ratio = contrast(parse(getComputedStyle(element).color), behind(element));
		if (ratio < 4.5) say(`the contrast is ${ratio.toFixed(2)}`, element);
	}
	for (const field of document.querySelectorAll("input:not([type=hidden]), select, button"))
		if (seen(field) && contrast(parse(getComputedStyle(field).borderTopColor), behind(field.parentElement)) < 3) say("the border is hardly seen", field);

	// Whoever goes by keyboard sees where they are.
	for (const element of document.querySelectorAll("a, button, input:not([type=hidden]), select, summary")) {
		if (!seen(element)) continue;
		element.focus({ focusVisible: true });
		if (document.activeElement !== element) continue;
		const style = getComputedStyle(element);
		if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) say("its focus is not seen", element);
	}
	document.activeElement.blur();
	scrollTo(0, 0);
	return faults;
})();
