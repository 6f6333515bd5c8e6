// Filters for the tables of the security guide. Without this script all rows are shown.
"use strict";
(() => {
  const place = document.querySelector(".guide-filter");
  if (!place) return;
  const rows = [...document.querySelectorAll("table.guide tbody tr")];
  const chosen = { importance: "", effort: "", status: "", text: "" };
  const count = document.createElement("output");
  const apply = () => {
    let shown = 0;
    for (const row of rows) {
      const fits = ["importance", "effort", "status"].every(
        (name) => chosen[name] === "" || row.dataset[name] === chosen[name]);
      row.hidden = !fits || !row.textContent.toLowerCase().includes(chosen.text);
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = `${shown} of ${rows.length} measures`;
  };
  const labelled = (name, control) => {
    const label = document.createElement("label");
    label.append(name, " ", control);
    place.append(label);
  };
  for (const [name, title] of [["importance", "Importance"], ["effort", "Effort"], ["status", "Here"]]) {
    const select = document.createElement("select");
    const values = [...new Set(rows.map((row) => row.dataset[name]))];
    select.append(new Option("all", ""), ...values.map((value) => new Option(value, value)));
    select.addEventListener("change", () => {
      chosen[name] = select.value;
      apply();
    });
    labelled(title, select);
  }
  const search = document.createElement("input");
  search.type = "search";
  search.addEventListener("input", () => {
    chosen.text = search.value.trim().toLowerCase();
    apply();
  });
  labelled("Text", search);
  place.append(count);
  apply();
})();
