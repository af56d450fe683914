// Keeps the part of a page that is marked as live up to date. Without this script a page shows how things were when it was loaded.
"use strict";
(() => {
	const live = document.getElementById("live");
	if (!live || !window.EventSource) return;
	const stale = document.createElement("p");
	stale.className = "note bad";
	stale.setAttribute("role", "alert");
	let lost = 0;

	// Says that what is shown is old, unless the server answers again within a moment, as it does after a restart.
	const warn = (words) => {
		const at = new Date().toISOString().slice(11, 19);
		clearTimeout(lost);
		lost = setTimeout(() => {
			stale.textContent = `${words} What follows is how things were at ${at} UTC.`;
			live.before(stale);
			live.classList.add("old");
		}, 5000);
	};
	const fresh = () => {
		clearTimeout(lost);
		lost = 0;
		stale.remove();
		live.classList.remove("old");
	};

	const events = new EventSource(live.dataset.src);
	events.onopen = fresh;
	events.onerror = () => {
		if (events.readyState === EventSource.CLOSED) warn("This page is no longer kept up to date; load it again.");
		else if (!lost) warn("The server does not answer.");
	};
	events.onmessage = (event) => {
		// Whoever has marked text in there, is not disturbed.
		const marked = getSelection();
		if (!marked.isCollapsed && live.contains(marked.anchorNode)) return;
		const focused = live.contains(document.activeElement) ? document.activeElement : null;
		const same = focused && place(focused);
		live.innerHTML = JSON.parse(event.data); // escaped by the server, as the page was
		if (same) live.querySelector(same)?.focus({ preventScroll: true });
	};
	addEventListener("pagehide", () => events.close());

	// A selector by which a link or a button is found again in what takes its place.
	function place(element) {
		const to = element.getAttribute("href");
		return to ? `a[href="${CSS.escape(to)}"]` : element.localName;
	}
})();
