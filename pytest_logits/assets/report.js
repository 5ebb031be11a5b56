"use strict";
const results = Array.from(document.querySelectorAll("#results > details"));
const texts = new Map(results.map((result) => [result, result.textContent.toLowerCase()]));
const search = document.getElementById("search");
const outcome = document.getElementById("outcome");
const shown = document.getElementById("shown");

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const result of results) {
    const fits =
      (!outcome.value || result.dataset.outcome === outcome.value) &&
      words.every((word) => texts.get(result).includes(word));
    result.hidden = !fits;
    count += fits;
  }
  const all = `${results.length} result${results.length === 1 ? "" : "s"}`;
  shown.value = count === results.length ? all : `${count} of ${all}`;
}

function reveal() {
  const wanted = location.hash && document.getElementById(location.hash.slice(1));
  if (wanted && results.includes(wanted)) {
    wanted.hidden = false;
    wanted.open = true;
    wanted.scrollIntoView();
  }
}

document.getElementById("filter").addEventListener("submit", (event) => event.preventDefault());
search.addEventListener("input", filter);
outcome.addEventListener("change", filter);
window.addEventListener("hashchange", reveal);
reveal();
