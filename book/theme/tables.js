// Filters for the tables of the matrix and of the security guide. Without this script all rows are shown.
"use strict";
(() => {
  // A field has a name, a title, its values, and what tells whether a row fits one of them.
  const addFilters = (place, rows, unit, fields, changed = () => {}) => {
    const chosen = { text: "" };
    const count = document.createElement("output");
    const apply = () => {
      let shown = 0;
      for (const row of rows) {
        const fits = fields.every(({ name, fits }) => !chosen[name] || fits(row, chosen[name], chosen));
        row.hidden = !fits || !row.textContent.toLowerCase().includes(chosen.text);
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = `${shown} of ${rows.length} ${unit}`;
      changed(chosen);
    };
    const labelled = (title, control) => {
      const label = document.createElement("label");
      label.append(title, " ", control);
      place.append(label);
    };
    for (const { name, title, values } of fields) {
      const select = document.createElement("select");
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
  const data = (rows) => ([name, title]) => ({
    name,
    title,
    values: [...new Set(rows.map((row) => row.dataset[name]))],
    fits: (row, value) => row.dataset[name] === value,
  });

  const guide = document.querySelector(".guide-filter");
  if (guide) {
    const rows = [...document.querySelectorAll("table.guide tbody tr")];
    const fields = [["importance", "Importance"], ["effort", "Effort"], ["status", "Here"]].map(data(rows));
    addFilters(guide, rows, "measures", fields);
  }

  // The matrix. With a stage, the other columns are left out, and verdict and wall are those of that stage.
  const matrix = document.querySelector(".matrix-filter");
  if (matrix) {
    const table = document.querySelector("table.matrix");
    const rows = [...table.querySelectorAll("tbody tr")];
    const stages = [...table.querySelectorAll("thead th")].slice(1).map((cell) => cell.textContent);
    const words = { escaped: "escaped", contained: "contained", other: "does not apply" };
    const cells = (row, stage) => [...row.cells].slice(1).filter((_, place) => !stage || stages[place] === stage);
    const wall = (cell) => (cell.className === "contained" ? cell.firstChild.title : "");
    const ofRow = data(rows);
    const walls = rows.flatMap((row) => cells(row, "").map(wall)).filter(Boolean);
    const some = (test) => (row, value, chosen) => cells(row, chosen.stage).some((cell) => test(cell) === value);
    addFilters(matrix, rows, "probes", [
      { name: "stage", title: "Stage", values: stages, fits: () => true },
      ofRow(["group", "Group"]),
      { name: "verdict", title: "Verdict", values: Object.values(words), fits: some((cell) => words[cell.className]) },
      { name: "wall", title: "Held by", values: [...new Set(walls)].sort(), fits: some(wall) },
      ofRow(["class", "Class"]),
    ], ({ stage }) => {
      for (const row of table.rows) {
        [...row.cells].slice(1).forEach((cell, place) => {
          cell.hidden = Boolean(stage) && stages[place] !== stage;
        });
      }
    });
  }
})();
