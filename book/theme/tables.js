// Filters for the tables of the matrix and of the security guide. Without this script all rows are shown.
"use strict";
(() => {
  const addFilters = (place, rows, unit, fields) => {
    const chosen = { text: "" };
    const count = document.createElement("output");
    const apply = () => {
      let shown = 0;
      for (const row of rows) {
        const fits = fields.every(({ name, of }) => !chosen[name] || of(row) === chosen[name]);
        row.hidden = !fits || !row.textContent.toLowerCase().includes(chosen.text);
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = `${shown} of ${rows.length} ${unit}`;
    };
    const labelled = (title, control) => {
      const label = document.createElement("label");
      label.append(title, " ", control);
      place.append(label);
    };
    for (const { name, title, of } of fields) {
      const select = document.createElement("select");
      const values = [...new Set(rows.map(of))];
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
  };
  const data = (name, title) => ({ name, title, of: (row) => row.dataset[name] });

  const guide = document.querySelector(".guide-filter");
  if (guide) {
    const rows = [...document.querySelectorAll("table.guide tbody tr")];
    const fields = [data("importance", "Importance"), data("effort", "Effort"), data("status", "Here")];
    addFilters(guide, rows, "measures", fields);
  }

  const matrix = document.querySelector(".matrix-filter");
  if (matrix) {
    const table = document.querySelector("table.matrix");
    const rows = [...table.querySelectorAll("tbody tr")];
    const stages = [...table.querySelectorAll("thead th")].slice(1).map((cell) => cell.textContent);
    // The verdict on the chosen stage, as one choice.
    const onStage = stages.map((stage, place) => ({
      name: `stage${stage}`,
      title: `Stage ${stage}`,
      of: (row) => row.cells[place + 1].className,
    }));
    addFilters(matrix, rows, "probes", [data("group", "Group"), data("class", "Class"), ...onStage]);
    table.addEventListener("click", (event) => {
      const cell = event.target.closest("tbody td");
      if (!cell || cell.cellIndex === 0) return;
      const details = cell.parentElement.querySelector("details");
      details.open = !details.open;
    });
  }
})();
