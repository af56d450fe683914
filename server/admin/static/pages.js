// Keeps the part of a page that is marked as live up to date. Without this script a page shows how things were when it was loaded.
"use strict";
(() => {
	const live = document.getElementById("live");
	if (!live || !window.EventSource) return;
	const events = new EventSource(live.dataset.src);
	events.onmessage = (event) => {
		// Whoever is at a link or has marked text in there is not disturbed.
		const marked = getSelection();
		if (live.contains(document.activeElement) || (!marked.isCollapsed && live.contains(marked.anchorNode))) return;
		live.innerHTML = JSON.parse(event.data); // escaped by the server, as the page was
	};
	addEventListener("pagehide", () => events.close());
})();
