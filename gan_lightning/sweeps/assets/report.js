"use strict";
for (const table of document.querySelectorAll("table:not(.plain)")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value;
    const numbers = [...table.tBodies[0].rows].every((row) => value(row) !== "" && !isNaN(value(row)));
    const order = (a, b) => (numbers ? value(a) - value(b) : value(a).localeCompare(value(b)));
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => (down ? -1 : 1) * order(a, b)));
  }));
}
for (const part of document.querySelectorAll(".samples:has(input)")) {
  const slider = part.querySelector("input");
  const stops = slider.dataset.stops.split(",").map(Number);
  slider.addEventListener("input", () => {
    const seen = stops[slider.value];
    part.querySelector("output").textContent = seen.toLocaleString("en");
    for (const figure of part.querySelectorAll("figure")) {
      const images = [...figure.querySelectorAll("img")];
      const shown = images.findLast((image) => image.dataset.images <= seen) ?? images[0];
      images.forEach((image) => { image.hidden = image !== shown; });
    }
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
