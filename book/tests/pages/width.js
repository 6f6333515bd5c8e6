// Returns the elements that reach past the right edge of the window, and are in no part that scrolls by
// itself; on paper nothing scrolls.
const [isPrinted] = arguments;
const width = document.documentElement.clientWidth;
const name = (element) => `${element.tagName.toLowerCase()} ${element.textContent.trim().slice(0, 60)}`;
const excess = (element) => element.getBoundingClientRect().right > width + 1;
if (isPrinted) {
  const cut = (element) => element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0;
  return [...document.querySelectorAll("main :is(pre, pre > code, table, svg, img, .table-wrapper, p, li)")]
    .filter((element) => excess(element) || (element.matches("pre, pre > code, .table-wrapper") && cut(element)))
    .map(name);
}
// mdBook's content has a scroll bar of its own, so that the page need not be wider.
const scrolls = [document.documentElement, document.querySelector("#mdbook-content")];
if (scrolls.every((element) => element.scrollWidth <= element.clientWidth)) return [];
return [...document.querySelectorAll("main *")]
  .filter((element) => excess(element) && !element.parentElement.closest("pre, .table-wrapper, svg"))
  .map(name)
  .concat(["it scrolls sideways"]);
