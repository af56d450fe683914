// Keeps lists and transcripts up to date, and adds keys and buttons that copy. Without this script the pages show how things were when they were loaded.
"use strict";
(() => {
	const status = document.getElementById("live");
	const search = document.getElementById("search");

	// The parts of the page that change by themselves, and never the message that is being read.
	const parts = ["pages", "list", "transcript"];
	let asked = false, again = false;

	// Takes the parts anew from the server, once at a time.
	async function renew() {
		if (asked) { again = true; return; }
		asked = true;
		try {
			const to = new URL(location.href);
			if (document.querySelector("[aria-label=Views]") && !document.getElementById("transcript")) to.searchParams.set("only", "list");
			let answer = await fetch(to);
			if (answer.status === 404 && search) answer = await fetch(search.form.action); // what is open has been deleted; the list has not
			if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
		} catch {
			// The stream says that the server has gone.
		}
		asked = false;
		if (again) { again = false; renew(); }
	}

	function show(fresh) {
		for (const id of parts) {
			const now = document.getElementById(id), next = fresh.getElementById(id);
			if (!now || !next || now.innerHTML === next.innerHTML || isInUse(now)) continue;
			const at = now.contains(document.activeElement) && place(document.activeElement);
			now.replaceChildren(...next.childNodes); // escaped by the server, as the page was
			if (at) now.querySelector(at)?.focus({ preventScroll: true });
		}
		if (!document.querySelector("article.open h1")) document.title = fresh.title;
	}

	// Whoever has marked text there, or is about to clear the inbox, is not disturbed.
	function isInUse(element) {
		const marked = getSelection();
		return !marked.isCollapsed && element.contains(marked.anchorNode) || element.querySelector("details[open]") !== null;
	}

	// A selector by which a link is found again in what takes its place.
	function place(element) {
		const to = element.getAttribute("href");
		return to ? `a[href="${CSS.escape(to)}"]` : element.localName;
	}

	function follow() {
		const events = new EventSource(document.body.dataset.events);
		let broken = false;
		events.onopen = () => {
			status.textContent = "Kept up to date. All times are UTC.";
			if (broken) renew();
			broken = false;
		};
		events.onerror = () => {
			broken = true;
			status.textContent = events.readyState === EventSource.CLOSED ? "No longer kept up to date; load the page again." : "The server does not answer; this is how things were.";
		};
		for (const kind of ["message", "deleted", "session", "refused", "rule", "end", "lost"]) events.addEventListener(kind, renew);
		addEventListener("pagehide", () => events.close());
	}
	if (window.EventSource) follow();

	// Another inbox is there as soon as it is chosen.
	const user = document.getElementById("user");
	user.addEventListener("change", () => user.form.requestSubmit());

	// Goes so many places on in the list, from the one that has the focus or is open.
	function move(by) {
		const items = [...document.querySelectorAll(".item")];
		const at = items.findIndex((item) => item === document.activeElement);
		const from = at >= 0 ? at : items.findIndex((item) => item.hasAttribute("aria-current"));
		const to = from < 0 ? 0 : Math.min(Math.max(from + by, 0), items.length - 1);
		items[to]?.focus();
	}

	const keys = {
		j: () => move(1),
		k: () => move(-1),
		"/": () => search?.focus(),
		"?": () => {
			const help = document.getElementById("keys");
			help.open = !help.open;
			help.querySelector("summary").focus();
		},
	};
	document.addEventListener("keydown", (event) => {
		if (event.ctrlKey || event.altKey || event.metaKey || !keys[event.key]) return;
		if (event.target.closest("input, select, textarea")) return;
		event.preventDefault();
		keys[event.key]();
	});

	for (const text of document.querySelectorAll("pre.copy")) {
		const button = document.createElement("button");
		button.type = "button";
		button.className = "copied";
		button.textContent = "Copy";
		button.addEventListener("click", async () => {
			const words = text.querySelector("bdi");
			try {
				await navigator.clipboard.writeText(words.textContent);
				button.textContent = "Copied";
			} catch {
				getSelection().selectAllChildren(words); // where the browser forbids it, it is marked for its own key
			}
		});
		text.prepend(button);
	}
})();
