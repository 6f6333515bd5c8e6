// Returns what is wrong with the figures of this page at the current width, in the light and in a dark theme.
const errors = new Set();
const TOLERANCE = 1.5; // pixels: a text's box has room for accents above its letters
const MIN_CONTRAST = 4.5;
const box = (element) => {
  const { left, right, top, bottom } = element.getBoundingClientRect();
  return { left, right, top, bottom };
};
const overlaps = (a, b) =>
  Math.min(a.right, b.right) - Math.max(a.left, b.left) > TOLERANCE &&
  Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > TOLERANCE;
const contains = (outer, inner) =>
  inner.left >= outer.left - TOLERANCE && inner.right <= outer.right + TOLERANCE &&
  inner.top >= outer.top - TOLERANCE && inner.bottom <= outer.bottom + TOLERANCE;
const channels = (colour) => colour.match(/[\d.]+/g).slice(0, 3).map(Number);
const luminance = (colour) => {
  const [red, green, blue] = channels(colour).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const contrast = (one, other) => {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};

for (const picture of document.querySelectorAll("main img")) {
  if (!picture.alt.trim()) errors.add(`${picture.getAttribute("src")} has no alternative text`);
}
const root = document.documentElement;
const before = root.className;
for (const theme of ["light", "navy"]) {
  root.className = before.replace(/\b(light|navy)\b/, theme);
  for (const svg of document.querySelectorAll("main svg.diagram")) {
    const title = document.getElementById(svg.getAttribute("aria-labelledby"));
    const name = svg.getAttribute("aria-labelledby");
    if (svg.getAttribute("role") !== "img" || !title?.textContent.trim() || !svg.contains(title)) {
      errors.add(`${name}: the figure has no title for those who do not see it`);
    }
    const figure = box(svg);
    if (figure.left < -TOLERANCE || figure.right > innerWidth + TOLERANCE) errors.add(`${name}: wider than the window`);
    const boxes = [...svg.querySelectorAll("rect")].filter((rect) => !rect.closest("defs"));
    const background = getComputedStyle(document.documentElement).backgroundColor;
    for (const text of svg.querySelectorAll("text")) {
      const own = box(text);
      const says = `${name}: the text ${JSON.stringify(text.textContent)}`;
      if (!contains(figure, own)) errors.add(`${says} leaves the figure`);
      for (const rect of boxes) {
        if (overlaps(box(rect), own) && !contains(box(rect), own)) errors.add(`${says} crosses the border of a box`);
      }
      const colour = getComputedStyle(text).fill;
      const filled = boxes.filter((rect) => contains(box(rect), own) && getComputedStyle(rect).fill !== "none").at(-1);
      const behind = filled ? getComputedStyle(filled).fill : background;
      if (contrast(colour, behind) < MIN_CONTRAST) errors.add(`${says} is ${colour} on ${behind}`);
    }
  }
}
root.className = before;
return [...errors];
