// A chart over time. uPlot draws it on a canvas, which says nothing to a screen reader: the numbers are beside it.

import uPlot from "/web/vendor/uplot.js";
import { html, useEffect, useRef } from "./ui.js";

document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/web/vendor/uplot.css" }));

const HEIGHT = 150;
// Between two labels of the axis: it shows whole seconds.
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
const variable = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A custom property may be `light-dark(…)`, which a canvas does not know: an element has the colour that it comes to.
function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found || variable(name);
}

const COLOURS = ["--accent", "--warn", "--good", "--bad", "--faint"];
const two = number => String(number).padStart(2, "0");
const clock = seconds => {
  const at = new Date(seconds * 1000);
  return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
};

// `series` are names, `data` is [times, values of the first, …]. The times of the axis are UTC.
export function Chart({ title, series, data, format = String }) {
  const element = useRef(null);
  const plot = useRef(null);
  useEffect(() => {
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--hair"), width: 1 }, ticks: { stroke: colour("--hair"), width: 1 }, font: "12px sans-serif" };
    plot.current = new uPlot({
      width: element.current.clientWidth, height: HEIGHT, legend: { show: false }, cursor: { show: false },
      scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(high ?? 0, 1e-9) * 1.1 || 1] } },
      axes: [
        { ...axis, incrs: SECONDS, values: (_, times) => times.map(clock) },
        { ...axis, size: 64, values: (_, values) => values.map(format) },
      ],
      series: [{}, ...series.map((label, at) => ({ label, stroke: colour(COLOURS[at]), width: 2, spanGaps: true, points: { show: data[0].length < 3 } }))],
    }, data, element.current);
    const place = element.current;
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: place.clientWidth, height: HEIGHT }));
    observer.observe(place);
    return () => { observer.disconnect(); plot.current.destroy(); plot.current = null; };
  }, [series.join()]);
  useEffect(() => { plot.current?.setData(data); }, [data]);
  return html`<figure class="chart"><figcaption>${title} <small>${series.map((name, at) => html`<span key=${name} class="series"
    data-colour=${at}>${name}</span>`)}</small></figcaption><div ref=${element} role="img" aria-label=${`Chart: ${title}`}></div></figure>`;
}
