"use strict";
// Draws the charts, and hides and shows families in all charts of a section when one is clicked in its legend.
const specs = JSON.parse(document.getElementById("charts").textContent);
const options = { actions: false, renderer: "svg", ast: true, tooltip: { theme: "custom" } };
const views = {};
const hidden = {};

function show(section) {
  for (const view of views[section]) {
    view.signal("hidden", hidden[section]).runAsync();
  }
}

function toggle(button) {
  const section = button.dataset.section;
  const family = button.dataset.family;
  const shown = button.getAttribute("aria-pressed") === "true";
  hidden[section] = hidden[section].filter((each) => each !== family).concat(shown ? [family] : []);
  for (const twin of document.querySelectorAll("button[data-family]")) {
    if (twin.dataset.section === section && twin.dataset.family === family) {
      twin.setAttribute("aria-pressed", String(!shown));
    }
  }
  show(section);
}

const drawn = Object.keys(specs).map(async (id) => {
  const section = id.split("-")[0];
  views[section] = views[section] || [];
  hidden[section] = hidden[section] || [];
  const result = await vegaEmbed(document.getElementById(id), specs[id], options);
  views[section].push(result.view);
});

for (const button of document.querySelectorAll("button[data-family]")) {
  button.addEventListener("click", () => toggle(button));
}

// A chart follows the width of its column; on paper that is known only once printing has begun.
for (const event of ["beforeprint", "afterprint"]) {
  window.addEventListener(event, () => window.dispatchEvent(new Event("resize")));
}

Promise.all(drawn).then(
  () => { document.documentElement.dataset.state = "drawn"; },
  (err) => { document.documentElement.dataset.state = "failed"; console.error(err); },
);
