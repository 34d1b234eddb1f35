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
for (const part of document.querySelectorAll(".samples")) {
  const slider = part.querySelector("input");
  slider.addEventListener("input", () => {
    for (const figure of part.querySelectorAll("figure")) {
      const images = figure.querySelectorAll("img");
      const shown = Math.round((slider.value / slider.max) * (images.length - 1));
      images.forEach((image, index) => { image.hidden = index !== shown; });
    }
  });
}
